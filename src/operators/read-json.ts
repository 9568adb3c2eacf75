import type { Context } from 'hono'

/** Reads the body of a request as JSON; `null` where it is none. */
export async function readJson(c: Context): Promise<unknown> {
  try {
    return await c.req.json()
  } catch {
    return null
  }
}
