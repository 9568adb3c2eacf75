/** Begins the name of an origin that is a function. No named origin has a colon. */
export const FUNCTION_PREFIX = 'once:'

/** The name under which records refer to a function that the object can run, in the place of an origin. */
export const functionOrigin = (operation: string): string => FUNCTION_PREFIX + operation

/** Whether an origin is a function. */
export const isFunctionOrigin = (origin: string): boolean => origin.startsWith(FUNCTION_PREFIX)
