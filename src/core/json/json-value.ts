/** Whether JSON keeps a value as it is: no function, no class instance, no NaN, `undefined` only as a member. */
export function isJsonValue(value: unknown): boolean {
  if (typeof value === 'object') return value === null || isJsonObject(value)
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}

function isJsonObject(value: object): boolean {
  if (Array.isArray(value)) return value.every(isJsonValue)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  return Object.values(value).every((member) => member === undefined || isJsonValue(member))
}
