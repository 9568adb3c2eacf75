import type { Context } from 'hono'
import * as z from 'zod/mini'

import type { AdminAction } from '../core/request-facts.ts'
import type { DeadLetter } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { askDirectory, NoAnswer } from './ask-objects.ts'
import { audit, auditUnconfirmed } from './audit.ts'
import { type Changed, changeMany, IDS_ADVICE, readIds, readJson, toResponse } from './changes.ts'
import { openLetter } from './letter-content.ts'
import { countOf, PAGE_ADVICE, readPage } from './list-page.ts'
import { notFound, refusal } from './refusal.ts'
import { type Replay, replayLetter } from './replay-letter.ts'

type LetterContext = Context<GatewayEnv>

/** The actions that remove a letter. */
type Gone = Extract<AdminAction, 'requeued' | 'dropped'>

/** A page of the dead letters, without their contents. */
export async function listLetters(c: LetterContext): Promise<Response> {
  const page = readPage(c)
  if (page === null) return refusal(c, 400, PAGE_ADVICE)
  const [{ entries, next }, count] = await Promise.all([
    askDirectory(c, (directory) => directory.listLetters(page)),
    countOf(c),
  ])
  const total = count?.letters ?? null
  return c.json({ entries: entries.map(withTime), next, total })
}

/** The letter that the path names, with its content. */
export async function showLetter(c: LetterContext): Promise<Response> {
  const letter = await readLetter(c, idOf(c))
  return letter === null ? notFound(c) : c.json(withTime(await openLetter(c.env, letter)))
}

/** Replays the letter that the path names. @param app As for `createAdmin`. */
export async function replay(c: LetterContext, app: object): Promise<Response> {
  const how = await readReplay(c)
  if (how === null) return refusal(c, 400, REPLAY_ADVICE)
  return toResponse(c, await replayOne(c, app, idOf(c), how))
}

/** Drops the letter that the path names. */
export async function drop(c: LetterContext): Promise<Response> {
  return toResponse(c, await dropOne(c, idOf(c)))
}

/** Replays many letters. @param app As for `createAdmin`. */
export async function replayMany(c: LetterContext, app: object): Promise<Response> {
  const read = readIds(await readJson(c))
  if (read === null) return refusal(c, 400, IDS_ADVICE)
  const how = ReplaySchema.safeParse(read.rest)
  if (!how.success) return refusal(c, 400, 'Send { "ids": […] }, or with "override": true.')
  return changeLetters(c, read.ids, 'requeued', (id) => replayOne(c, app, id, how.data))
}

/** Drops many letters. */
export async function dropMany(c: LetterContext): Promise<Response> {
  const read = readIds(await readJson(c))
  if (read === null || Object.keys(read.rest).length > 0) return refusal(c, 400, IDS_ADVICE)
  return changeLetters(c, read.ids, 'dropped', (id) => dropOne(c, id))
}

function changeLetters(
  c: LetterContext,
  ids: readonly string[],
  name: Gone,
  change: (id: string) => Promise<Changed>,
): Promise<Response> {
  return changeMany(c, ids, change, (letterId) => auditUnconfirmed(c, name, { letterId }))
}

const ReplaySchema = z.strictObject({ override: z._default(z.boolean(), false) })
const REPLAY_ADVICE = 'Send no body, or { "override": true } as JSON.'

/** @returns `null` if the body is something else. */
async function readReplay(c: LetterContext): Promise<Replay | null> {
  const text = await c.req.text()
  const read = ReplaySchema.safeParse(text === '' ? {} : await readJson(c))
  return read.success ? read.data : null
}

async function replayOne(c: LetterContext, app: object, id: string, how: Replay): Promise<Changed> {
  const letter = await readLetter(c, id)
  if (letter === null) return NOT_FOUND
  const because = await replayLetter(c, app, letter, how)
  return because === null ? takeOff(c, letter, 'requeued') : { kind: 'refused', because }
}

async function dropOne(c: LetterContext, id: string): Promise<Changed> {
  const letter = await readLetter(c, id)
  return letter === null ? NOT_FOUND : takeOff(c, letter, 'dropped')
}

async function takeOff(c: LetterContext, letter: DeadLetter, name: Gone): Promise<Changed> {
  // First, since a letter that was sent or is lost must be audited even if the next step fails.
  audit(c, name, {
    ...letter,
    operation: letter.type,
    fence: letter.attempts,
    letterId: letter.id,
  })
  try {
    await askDirectory(c, (directory) => directory.dropLetter(letter.id))
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error
    auditUnconfirmed(c, name, { letterId: letter.id })
    return { kind: 'unconfirmed' }
  }
  return { kind: 'done', view: null }
}

const readLetter = (c: LetterContext, id: string) =>
  askDirectory(c, (directory) => directory.letter(id))

const NOT_FOUND = { kind: 'not-found' } as const

const idOf = (c: Context) => c.req.param('id') ?? ''

function withTime<entry extends { readonly at: number }>(entry: entry) {
  return { ...entry, at: new Date(entry.at).toISOString() }
}
