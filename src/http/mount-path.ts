/** The path that a middleware was added for, by the pattern of its route. */
export const mountPathOf = (pattern: string): string => pattern.replace(/\/?\*$/, '')

/** Whether a path is another one, or below it. */
export const isAtOrBelow = (path: string, mountPath: string): boolean =>
  path === mountPath || path.startsWith(`${mountPath}/`)
