import { readFile } from 'node:fs/promises'

import { describe, expect, it } from 'vitest'

import {
  classifyAnswer,
  classifyFault,
  classifyStatus,
  outcomeLeft,
} from '../../../src/core/outcome/classify.ts'
import { type OriginFault, type Outcome, OUTCOMES } from '../../../src/core/outcome/outcome.ts'

/** How the page names what is no status. */
const FAULTS: Readonly<Record<OriginFault, string>> = {
  'not-sent': 'provably nothing sent',
  timeout: 'no answer in time',
  lost: 'connection lost',
  'bad-status': 'a status below 200 or above 599',
}

/** What the page says of a range besides the statuses that it names. */
const RANGES = [
  { words: /^2xx, 3xx but those below$/, from: 200, to: 399 },
  { words: /^4xx but those below$/, from: 400, to: 499 },
  { words: /^every other 5xx$/, from: 500, to: 599 },
]

interface Line {
  readonly outcome: Outcome
  readonly parts: readonly string[]
}

const lines = readLines(await readFile(new URL('../../../docs/policy.md', import.meta.url), 'utf8'))

/** The lines of the table under `## Outcomes`. */
function readLines(page: string): Line[] {
  const [, section = ''] = page.split(/^## Outcomes$/m)
  const rows = section.split(/^## /m)[0]?.matchAll(/^\| (.+?) +\| `(\w+)` +\|/gm) ?? []
  return Array.from(rows, ([, what = '', outcome = '']) => {
    if (!isOutcome(outcome)) throw new Error(`There is no outcome ${outcome}.`)
    return { outcome, parts: what.split(';').map((part) => part.trim()) }
  })
}

function isOutcome(word: string): word is Outcome {
  return OUTCOMES.some((outcome) => outcome === word)
}

/** The statuses of a part that is a list of them, else none. */
const statusesOf = (part: string) =>
  /^\d{3}(?:, \d{3})*$/.test(part) ? part.split(', ').map(Number) : []

const rangeOf = (part: string) => RANGES.find(({ words }) => words.test(part)) ?? null

/** How the page names what a status alone does not say. */
const OF_PROXY = 'a 503 that a proxy has made'

const ASKS_AGAIN = 'every other 4xx that asks for another try'
const IN_DOUBT = 'after a call in doubt also 409 and all of the line above'

const isOfItsOwn = (part: string) => [OF_PROXY, ASKS_AGAIN, IN_DOUBT].includes(part)

const isFault = (part: string) => Object.values(FAULTS).includes(part)

/** What the page says of a status: by its number first, else by its range. */
function saidOf(status: number): Outcome | null {
  const byNumber = lines.find(({ parts }) => parts.flatMap(statusesOf).includes(status))
  const byRange = lines.find(({ parts }) =>
    parts.map(rangeOf).some((range) => range && range.from <= status && status <= range.to),
  )
  return (byNumber ?? byRange)?.outcome ?? null
}

const outcomesOf = (part: string) =>
  lines.filter(({ parts }) => parts.includes(part)).map(({ outcome }) => outcome)

const STATUSES = Array.from({ length: 400 }, (_, index) => 200 + index)

describe('docs/policy.md: the table of outcomes', () => {
  it('has a line for every outcome, in their order', () => {
    expect(lines.map(({ outcome }) => outcome)).toEqual(OUTCOMES)
  })

  it('says nothing that this test does not understand, and nothing twice', () => {
    const parts = lines.flatMap((line) => line.parts)
    const isRead = (part: string) =>
      statusesOf(part).length > 0 || rangeOf(part) !== null || isFault(part) || isOfItsOwn(part)
    expect(parts.filter((part) => !isRead(part))).toEqual([])
    const named = parts.flatMap(statusesOf)
    expect(new Set(named).size).toBe(named.length)
  })

  it('files every status from 200 to 599 as the gateway does', () => {
    const said = STATUSES.map((status) => `${status} ${saidOf(status)}`)
    expect(said).toEqual(STATUSES.map((status) => `${status} ${classifyStatus(status)}`))
  })

  it('files a 503 of a proxy as the gateway does', () => {
    const facts = { status: 503, directives: { outcome: null }, isFromProxy: true }
    expect(outcomesOf(OF_PROXY)).toEqual([classifyAnswer(facts, {})])
  })

  it('files a 4xx that asks for another try as the gateway does', () => {
    const headers = [['x-should-retry', 'true']] as const
    const facts = { status: 422, headers, directives: { outcome: null } }
    expect(outcomesOf(ASKS_AGAIN)).toEqual([classifyAnswer(facts, {})])
  })

  it('files what is no end behind a call in doubt as the gateway does', () => {
    const freed = lines.find(({ outcome }) => outcome === 'not_executed')
    const statuses = [409, ...(freed?.parts.flatMap(statusesOf) ?? [])]
    const left = statuses.map((status) => {
      const own = classifyAnswer({ status, directives: { outcome: null } }, {}, true)
      return outcomeLeft(own, true)
    })
    expect(outcomesOf(IN_DOUBT)).toEqual([...new Set(left)])
  })

  it.each(Object.entries(FAULTS) as [OriginFault, string][])(
    'files a call that ended with %s ("%s") as the gateway does',
    (fault, words) => {
      expect(outcomesOf(words)).toEqual([classifyFault(fault)])
    },
  )
})
