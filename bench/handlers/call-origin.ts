/** An answer of the origin, as the libraries can store it. */
export interface OriginAnswer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** The plain handler before which every library stands: it calls the origin. */
export async function callOrigin(originUrl: string, body: string): Promise<OriginAnswer> {
  const headers = { 'Content-Type': 'application/json' }
  const response = await fetch(`${originUrl}/payments`, { method: 'POST', headers, body })
  const type = response.headers.get('Content-Type') ?? ''
  return { status: response.status, type, body: await response.text() }
}
