import { toVisible } from '../src/core/visible.ts'
import { Failure } from './failure.ts'

const LOCAL = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Reads the URL of a deployment.
 *
 * @param sent What is sent there and must stay secret, for the message.
 * @throws Failure when it is no URL, or when everybody on the way could read what is sent.
 */
export function readDeploymentUrl(text: string, sent: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Failure(`${toVisible(text)} is not a URL.`, 2)
  }
  if (url.protocol === 'http:' && !LOCAL.has(url.hostname)) {
    throw new Failure(`Use https. Otherwise ${sent} would be sent in clear text.`, 2)
  }
  return url
}
