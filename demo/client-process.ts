/**
 * A client in a process of its own, to be killed: sends one request and writes the answer to stdout.
 *
 *     node demo/client-process.ts http://127.0.0.1:8787 '{"path":"/payments","key":"k","body":"{}"}'
 */
import { type DemoRequest, send } from './client.ts'

const [, , baseUrl = '', request = ''] = process.argv
process.stdout.write(JSON.stringify(await send(baseUrl, JSON.parse(request) as DemoRequest)))
