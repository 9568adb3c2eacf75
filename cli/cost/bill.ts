import { DAYS_PER_MONTH, type Item, MAX_OBJECT_GB, PRICES } from './figures.ts'
import { type CostPlacement, type Load, USAGE_OF } from './usage.ts'

/** One line of a bill. */
interface Part {
  readonly item: Item
  readonly name: string
  /** Units in a month, and how many of them cost nothing. */
  readonly quantity: number
  readonly included: number
  readonly usd: number
}

/** What a month costs. */
export interface Bill {
  readonly placement: CostPlacement
  readonly operationsPerDay: number
  readonly parts: readonly Part[]
  readonly usdPerMonth: number
  readonly usdPerMillion: number
  /** How many shards the stored results need, if there are too few. */
  readonly shardsNeeded?: number
}

/** `account`: an account that pays for nothing else. `marginal`: no plan, and nothing is included. */
export type Basis = 'account' | 'marginal'

/** Makes the bill of a month. */
export function toBill(load: Load, placement: CostPlacement, basis: Basis): Bill {
  const parts = toParts(load, placement, basis)
  const usdPerMonth = parts.reduce((sum, { usd }) => sum + usd, 0)
  const { operationsPerDay } = load
  const usdPerMillion = (usdPerMonth / (operationsPerDay * DAYS_PER_MONTH)) * 1e6
  const bill = { placement, operationsPerDay, parts, usdPerMonth, usdPerMillion }
  const storedGb = parts.find(({ item }) => item === 'storedGb')?.quantity ?? 0
  const needed = Math.ceil(storedGb / MAX_OBJECT_GB)
  return placement === 'sharded' && needed > load.shards ? { ...bill, shardsNeeded: needed } : bill
}

function toParts(load: Load, placement: CostPlacement, basis: Basis): Part[] {
  const usage = USAGE_OF[placement](load)
  const items = Object.keys(PRICES) as Item[]
  return items.flatMap((item) => {
    const quantity = usage[item]
    if (quantity === undefined || (basis === 'marginal' && item === 'plan')) return []
    const { name, usd, per, included: free } = PRICES[item]
    const included = basis === 'marginal' ? 0 : Math.min(quantity, free)
    return [{ item, name, quantity, included, usd: ((quantity - included) / per) * usd }]
  })
}
