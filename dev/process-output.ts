import type { ChildProcess } from 'node:child_process'
import { EventEmitter, once } from 'node:events'

/** What a process writes. */
export interface ProcessOutput {
  text(): string
  /** Resolves when it has written this, which it may have already. */
  written(text: string | RegExp): Promise<void>
}

/** Keeps what a process writes, from its start on. */
export function recordOutput(child: ChildProcess): ProcessOutput {
  const written: string[] = []
  const news = new EventEmitter().setMaxListeners(0)
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      written.push(text)
      news.emit('written')
    })
  }
  const text = () => written.join('')
  const has = (wanted: string | RegExp) =>
    typeof wanted === 'string' ? text().includes(wanted) : wanted.test(text())
  return {
    text,
    async written(wanted) {
      while (!has(wanted)) await once(news, 'written')
    },
  }
}
