/**
 * Times the fingerprint of JSON bodies: `node bench/fingerprint.ts`.
 *
 * The yardstick is what a lossy fingerprint would cost, `JSON.parse`, `canonicalize` and SHA-256,
 * measured in turns with ours, so that both meet the same noise. Then adversarial bodies: their time
 * for a MiB must not grow with their size.
 */
import { canonicalize } from 'json-canonicalize'

import { createDigest } from '../src/core/digest.ts'
import {
  fingerprint,
  type FingerprintRules,
  readBody,
  toComparedRequest,
} from '../src/core/fingerprint/fingerprint.ts'

const MIB = 1_048_576
const RULES: FingerprintRules = { ignore: [], dates: [], headers: [], query: true }
const JSON_HEADERS = new Headers({ 'Content-Type': 'application/json' })
const digest = createDigest()
const encoder = new TextEncoder()

/** A small generator of its own, so that every run measures the same documents. */
function createRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state % below
  }
}

function createOrder(random: (below: number) => number, lineCount: number) {
  return {
    order_id: `ord_${random(1e9).toString(36)}${random(1e9).toString(36)}`,
    created_at: '2026-11-24T10:15:30.250+01:00',
    customer: {
      id: random(1e9),
      name: ['Zoë Müller', 'Ana Souza', 'John Smith', '山田太郎'][random(4)],
      email: `customer${random(1e6)}@example.com`,
      vat_id: random(2) === 0 ? null : `DE${random(1e9)}`,
    },
    shipping: {
      street: `Hauptstraße ${random(200)}`,
      city: 'Köln',
      zip: `${10_000 + random(9e4)}`,
    },
    lines: Array.from({ length: lineCount }, () => ({
      sku: `SKU-${random(1e6)}`,
      title: 'Bolt, hexagonal, M8 × 40, galvanised',
      quantity: 1 + random(20),
      unit_price: random(1e5) / 100,
      tax_rate: 0.19,
      is_gift: random(10) === 0,
      note: random(5) === 0 ? 'Please write "for Zoë"\non the card' : '',
    })),
    total: { amount: random(1e6), currency: 'EUR' },
    metadata: { campaign: 'autumn', source: 'web/checkout' },
  }
}

/** One order of about a KiB, or a list of orders of about the size asked for. */
function createDocument(bytes: number): Uint8Array {
  const random = createRandom(bytes)
  if (bytes <= 1024) return encoder.encode(JSON.stringify(createOrder(random, 4)))
  const orders = []
  for (let size = 0; size < bytes;) {
    const order = createOrder(random, 1 + random(8))
    size += encoder.encode(JSON.stringify(order)).length + 1
    orders.push(order)
  }
  return encoder.encode(JSON.stringify({ orders }))
}

async function ours(body: Uint8Array): Promise<void> {
  const head = { method: 'POST', path: '/orders', search: '', headers: JSON_HEADERS }
  const read = await readBody(body, JSON_HEADERS, RULES, 16 * MIB)
  if (!read.ok) throw new Error(`The body was refused: ${read.error.kind}.`)
  fingerprint(toComparedRequest(head, read.value, RULES), digest)
}

async function yardstick(body: Uint8Array): Promise<void> {
  const value: unknown = JSON.parse(new TextDecoder().decode(body))
  await crypto.subtle.digest('SHA-256', encoder.encode(canonicalize(value)))
}

async function time(work: () => Promise<void>, repeats: number): Promise<number> {
  const start = performance.now()
  for (let run = 0; run < repeats; run += 1) await work()
  return (performance.now() - start) / repeats
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN
}

async function compare(bytes: number) {
  const body = createDocument(bytes)
  const repeats = Math.max(1, Math.round(65_536 / bytes))
  const rounds = { ours: [] as number[], yardstick: [] as number[] }
  for (let round = 0; round < 60; round += 1) {
    rounds.ours.push(await time(() => ours(body), repeats))
    rounds.yardstick.push(await time(() => yardstick(body), repeats))
  }
  // The first rounds warm the engine up.
  const oursMs = median(rounds.ours.slice(10))
  const yardstickMs = median(rounds.yardstick.slice(10))
  return {
    body: `${(body.length / 1024).toFixed(1)} KiB`,
    'ours ms': oursMs.toFixed(3),
    'parse + canonicalize + SHA-256 ms': yardstickMs.toFixed(3),
    ratio: (oursMs / yardstickMs).toFixed(2),
  }
}

const ADVERSARIES: Readonly<Record<string, (bytes: number) => string>> = {
  'digits of one number': (bytes) => '7'.repeat(bytes),
  'zeros after a point': (bytes) => `1.${'0'.repeat(bytes)}1`,
  'one plain string': (bytes) => `"${'a'.repeat(bytes)}"`,
  'one string of \\u0041': (bytes) => `"${String.raw`\u0041`.repeat(bytes / 6)}"`,
  'many strings of one escape': (bytes) => `[${String.raw`"\n",`.repeat(bytes / 5)}0]`,
  'arrays nested to the limit': (bytes) =>
    `[${`${'['.repeat(999)}${']'.repeat(999)},`.repeat(bytes / 1999)}0]`,
  'a long string at the limit of nesting': (bytes) =>
    `${'[0,'.repeat(1000)}"${'a'.repeat(bytes)}"${']'.repeat(1000)}`,
  'members of one letter, descending': (bytes) => {
    const letters = Array.from({ length: 20_000 }, (_, index) =>
      String.fromCharCode(0x8000 - index),
    )
    const object = `{${letters.map((letter) => `"${letter}":1`).join(',')}}`
    return `[${Array.from({ length: bytes / 160_000 }, () => object).join(',')}]`
  },
  'members with a long common prefix': (bytes) => {
    const prefix = 'p'.repeat(1000)
    const names = Array.from(
      { length: bytes / 1010 },
      (_, index) => `"${prefix}${99_999 - index}":1`,
    )
    return `{${names.join(',')}}`
  },
}

async function attack([adversary, create]: [string, (bytes: number) => string]) {
  const columns = [MIB / 2, MIB, 4 * MIB].map((bytes) => ({
    bytes,
    body: encoder.encode(create(bytes)),
  }))
  const row: Record<string, string> = { adversary }
  for (const { bytes, body } of columns) {
    const runs: number[] = []
    for (let run = 0; run < 7; run += 1) runs.push(await time(() => ours(body), 1))
    row[`ms per MiB at ${bytes / MIB} MiB`] = ((median(runs) * MIB) / body.length).toFixed(1)
  }
  return row
}

const comparisons = []
for (const bytes of [1024, 65_536, MIB]) comparisons.push(await compare(bytes))
console.table(comparisons)

const attacks = []
for (const entry of Object.entries(ADVERSARIES)) attacks.push(await attack(entry))
console.table(attacks)
