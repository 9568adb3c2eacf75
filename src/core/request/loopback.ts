/** `::`, `::1`, and 127.0.0.0/8 as a part of IPv6, as URLs write them. */
const LOOPBACK_6 = /^\[::(?:1|ffff:7f[\da-f]{2}:[\da-f]{1,4})?\]$/

/** 127.0.0.0/8 and 0.0.0.0, as URLs write them. */
const LOOPBACK_4 = /^(?:127(?:\.\d{1,3}){3}|0\.0\.0\.0)$/

/** Whether a host is the machine that asks for it. @param hostname As URLs write it. */
export function isLoopback(hostname: string): boolean {
  const name = hostname.replace(/\.$/, '')
  return /^(?:.+\.)?localhost$/.test(name) || LOOPBACK_4.test(name) || LOOPBACK_6.test(name)
}
