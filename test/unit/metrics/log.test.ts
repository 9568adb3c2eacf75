import { afterEach, describe, expect, it, vi } from 'vitest'

import { NO_FACTS } from '../../../src/core/request-facts.ts'
import { logAudit, logFault, logRequest, logThrown } from '../../../src/metrics/log.ts'
import { HOSTILE, RAW } from '../../fakes/unseen.ts'

afterEach(() => vi.restoreAllMocks())

const FACTS = { ...NO_FACTS, operation: HOSTILE, tenant: HOSTILE, method: 'POST' }

describe('a log line', () => {
  it.each([
    { of: 'a request', write: () => logRequest(FACTS as never), says: { tenant: HOSTILE } },
    {
      of: 'a fault',
      write: () => logFault(HOSTILE, new Error(HOSTILE)),
      says: { reason: HOSTILE },
    },
    { of: 'no error', write: () => logFault('a fault', HOSTILE), says: { reason: HOSTILE } },
    { of: 'an audit', write: () => logAudit({ actor: HOSTILE }), says: { actor: HOSTILE } },
  ])('of $of is one line of visible text, whatever it names', ({ write, says }) => {
    const lines: string[] = []
    const keep = (line: string) => void lines.push(line)
    vi.spyOn(console, 'log').mockImplementation(keep)
    vi.spyOn(console, 'error').mockImplementation(keep)
    write()
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toMatch(/[\r\n\t]/)
    expect(lines[0]).not.toMatch(RAW)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject(says)
  })
})

describe('the lines of an error that is shown', () => {
  const linesOf = (error: unknown) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    logThrown('a handler threw', error, { operation: 'POST /' }, true)
    return String(log.mock.lastCall?.[0]).split('\n')
  }

  it.each([
    { what: 'an error', error: new Error(`one\n${HOSTILE}\n{"message":"request"}`) },
    { what: 'a text', error: `one\n${HOSTILE}\n{"message":"request"}` },
  ])('of $what cannot be taken for another entry', ({ error }) => {
    const [first = '', ...rest] = linesOf(error)
    expect(JSON.parse(first)).toMatchObject({ message: 'a handler threw', operation: 'POST /' })
    expect(rest.every((line) => line.startsWith('  '))).toBe(true)
    expect(rest.join('')).not.toMatch(RAW)
    expect(rest).toContain('  {"message":"request"}')
  })

  it('end, though an error is its own cause', () => {
    const error = new Error('round')
    error.cause = error
    expect(linesOf(error).filter((line) => line === '  Caused by:')).toHaveLength(8)
  })

  it('name what has no text', () => {
    expect(linesOf(Object.create(null)).at(-1)).toBe('  object')
  })
})
