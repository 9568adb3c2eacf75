import { afterEach, describe, expect, it, vi } from 'vitest'

import { NO_FACTS } from '../../../src/core/request-facts.ts'
import { logAudit, logFault, logRequest } from '../../../src/metrics/log.ts'
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
