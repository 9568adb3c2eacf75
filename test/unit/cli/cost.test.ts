import { afterEach, describe, expect, it, vi } from 'vitest'

import { cost } from '../../../cli/cost.ts'
import type { Bill } from '../../../cli/cost/bill.ts'
import { PRICES } from '../../../cli/cost/figures.ts'

afterEach(() => void vi.restoreAllMocks())

/** Runs `hapax cost`. @returns What it prints. */
async function run(args: string): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  await cost(args === '' ? [] : args.split(' '))
  const text = write.mock.calls.map(([chunk]) => String(chunk)).join('')
  write.mockRestore()
  return text
}

async function bill(args: string): Promise<Bill> {
  const [first] = JSON.parse(await run(`${args} --json`)) as Bill[]
  if (first === undefined) throw new Error('There is no bill.')
  return first
}

const quantity = ({ parts }: Bill, item: keyof typeof PRICES) =>
  parts.find((part) => part.item === item)?.quantity ?? NaN

/** What one operation takes of an item, where alarms of shards are shared by many. */
const perOperation = (one: Bill, item: keyof typeof PRICES) =>
  quantity(one, item) / (one.operationsPerDay * 30)

describe('cost', () => {
  it.each([
    { args: '--placement per-key', rows: 5 },
    { args: '--placement per-key --unknown recover', rows: 6 },
    // After 5 s, at 10 s, and for the end of retention.
    { args: '--placement per-key --origin 12s', rows: 8 },
    { args: '--placement sharded --shards 1', rows: 2 },
    // Two renewals.
    { args: '--placement sharded --shards 1 --origin 45s', rows: 4 },
  ])('counts $rows rows for an operation: $args', async ({ args, rows }) => {
    const one = await bill(`--operations 1e8 ${args}`)
    expect(perOperation(one, 'rowsWritten')).toBeCloseTo(rows, 2)
  })

  it.each([
    { args: '--placement per-key', requests: 2 },
    { args: '--placement per-key --replays 2', requests: 4 },
    { args: '--placement sharded --shards 1', requests: 2 },
    { args: '--placement sharded --shards 1 --replays 2', requests: 4 },
  ])('counts $requests requests to objects: $args', async ({ args, requests }) => {
    const one = await bill(`--operations 1e8 --replays 0 ${args}`)
    expect(perOperation(one, 'objectRequests')).toBeCloseTo(requests, 2)
  })

  it('counts the wait for the origin in an object of its own, and not in a shard', async () => {
    const seconds = async (placement: string, origin: string) => {
      const args = `--operations 1e6 --placement ${placement} --origin ${origin}`
      return perOperation(await bill(args), 'objectGbSeconds') / 0.128
    }
    expect((await seconds('per-key', '2s')) - (await seconds('per-key', '1s'))).toBeCloseTo(1, 6)
    expect(await seconds('sharded', '2s')).toBe(await seconds('sharded', '1s'))
  })

  it('never counts more duration for a shard than there is', async () => {
    const one = await bill('--operations 1e9 --placement sharded --shards 4')
    expect(quantity(one, 'objectGbSeconds')).toBeLessThanOrEqual(4 * 30 * 86_400 * 0.128)
  })

  it('adds the parts, and leaves out what is included', async () => {
    const one = await bill('--operations 1e7 --placement sharded')
    const sum = one.parts.reduce((total, { usd }) => total + usd, 0)
    expect(one.usdPerMonth).toBeCloseTo(sum, 6)
    expect(one.usdPerMillion).toBeCloseTo(sum / 300, 6)
    const written = one.parts.find(({ item }) => item === 'rowsWritten')
    expect(written?.usd).toBeCloseTo(((written?.quantity ?? 0) - 50e6) / 1e6, 6)
  })

  it('leaves the plan and the included amounts out of a marginal price', async () => {
    const { parts } = await bill('--operations 1e3 --placement sharded --marginal')
    expect(parts.map(({ item }) => item)).not.toContain('plan')
    expect(parts.filter(({ included }) => included > 0)).toEqual([])
    expect(parts.find(({ item }) => item === 'rowsWritten')?.usd).toBeGreaterThan(0)
  })

  it('says when the shards cannot hold the results', async () => {
    expect(await run('--operations 1e7 --retention 30d')).toMatch(/need at least \d+ shards/)
    expect(await run('--operations 1e7 --retention 1d')).not.toContain('at least')
  })

  it('names a source for every price', () => {
    for (const { source } of Object.values(PRICES)) expect(source).toMatch(/^https:\/\//)
  })

  it.each([
    { args: '--placement none', message: '--placement must be one of per-key, sharded' },
    { args: '--operations none', message: '--operations must be a number' },
    { args: '--operations 0', message: '--operations must be more than 0' },
    { args: '--replays -1', message: '--replays' },
    { args: '--origin soon', message: '--origin must be a duration' },
    { args: '--unknown maybe', message: '--unknown must be hold or recover' },
    { args: '--none', message: 'Usage: hapax cost' },
  ])('is refused: $args', async ({ args, message }) => {
    await expect(run(args)).rejects.toThrow(message)
  })
})
