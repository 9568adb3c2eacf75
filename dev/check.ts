/**
 * Runs all checks side by side, and prints what each has to say when it has ended.
 *
 *     npm run check
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

import manifest from '../package.json' with { type: 'json' }
import { recordOutput } from './process-output.ts'

const names = Object.keys(manifest.scripts).filter((name) => name.startsWith('check:'))
const passed = await Promise.all(names.map(check))
process.exitCode = passed.every(Boolean) ? 0 : 1

async function check(name: string): Promise<boolean> {
  const child = spawn('npm', ['run', '--silent', name], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Tools in Go would each work with as many threads as there are cores, which costs more in all.
    env: { ...process.env, GOMAXPROCS: '1' },
  })
  const output = recordOutput(child)
  const [code] = await once(child, 'close')
  process.stdout.write(`${code === 0 ? 'passed' : 'FAILED'}: ${name}\n${output.text()}\n`)
  return code === 0
}
