/**
 * Breaks things in every way that a retry has to survive, and counts what happened.
 *
 *     npm run demo
 *
 * The gateway and the first API behind it run in workerd, with state of their own that is thrown away.
 * Exits with 1 when a single number is not what it must be.
 */
import type { Answer } from './client.ts'
import { type Row, toRow, toTable } from './report.ts'
import { type Scene, scenes } from './scenes.ts'
import {
  closeStage,
  lastLinesOf,
  openStage,
  readEffects,
  readLedger,
  readSummary,
} from './stage.ts'

const startedAt = performance.now()
const NONE = { requests: 0, effects: 0, executed: 0, repeated: 0, conflicts: 0 }

say('starting the gateway and two APIs that are not idempotent')
const stage = await openStage()
const rows: Row[] = []
try {
  for (const scene of scenes) rows.push(await rowOf(scene))
  rows.push(...(await lateEffects()), ...(await lostCredentials()))
  report()
  await reportFigures()
} finally {
  await closeStage(stage)
}

async function rowOf(scene: Scene): Promise<Row> {
  const before = new Set((await readEffects(stage)).map(({ id }) => id))
  const { answers, complaints } = await play(scene)
  const effects = await readEffects(stage)
  return toRow({
    title: scene.title,
    expected: scene.expected,
    answers,
    effects: effects.filter(({ id, kind }) => !before.has(id) && kind === scene.kind),
    complaints,
  })
}

async function play(scene: Scene): Promise<{ answers: Answer[]; complaints: string[] }> {
  try {
    const answers = await scene.play(stage, (step) => say(`${scene.title}: ${step}`))
    return { answers, complaints: scene.complaints?.(answers) ?? [] }
  } catch (error) {
    return { answers: [], complaints: [`the scene failed: ${String(error)}`] }
  }
}

/** A row that only appears when the API did more than all scenes saw. */
async function lateEffects(): Promise<Row[]> {
  const seen = rows.reduce((sum, row) => sum + row.effects, 0)
  const effects = await readEffects(stage)
  if (effects.length === seen) return []
  const unseen = { ...NONE, effects: effects.length - seen }
  return [{ ...unseen, title: 'outside the scenes', complaints: [JSON.stringify(effects)] }]
}

/** A row that only appears when an API has seen a credential that is for another one. */
async function lostCredentials(): Promise<Row[]> {
  const { credentials } = await readLedger(stage)
  const { crm } = stage
  const complaints = [
    ...(credentials.join() === 'Bearer demo' ? [] : ['the first API has seen another credential']),
    ...([...crm.credentials].join() === `Bearer ${crm.token}`
      ? []
      : ['the second API has seen another credential than its own']),
  ]
  if (complaints.length > 0) return [{ ...NONE, title: 'credentials', complaints }]
  say("the token of the second API was seen by it alone, and the client's by the first alone")
  return []
}

function report(): void {
  console.log(`\n${toTable(rows)}\n`)
  const wrong = rows.filter((row) => row.complaints.length > 0)
  for (const { title, complaints } of wrong) {
    console.log(`${title}:${complaints.map((complaint) => `\n  - ${complaint}`).join('')}`)
  }
  if (wrong.length > 0) {
    console.log(`\n${lastLinesOf(stage)}`)
    process.exitCode = 1
  }
  say(
    wrong.length === 0
      ? 'every operation was executed exactly once'
      : `${wrong.length} rows are wrong`,
  )
}

/** The same storm as the operators see it, from the points in the Analytics Engine. */
async function reportFigures(): Promise<void> {
  const figures = await readSummary(stage)
  const shown = ['requests', 'executed', 'blocked', 'mismatches', 'unknown', 'recoveries']
  const parts = shown.map((name) => `${name} ${String(figures[name] ?? 0)}`)
  say(`analytics: ${parts.join(', ')} (npm start shows them at /_hapax/dashboard)`)
}

function say(step: string): void {
  console.log(`[${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s] ${step}`)
}
