import { deployedPlacement } from '../config/deployed-placement.ts'
import type { HapaxEnv } from '../config/env.ts'
import { requireBinding } from '../config/required-bindings.ts'
import type { Destination } from '../core/event/destination.ts'
import type { Decision } from '../core/message-fate.ts'
import type { UnknownReason } from '../core/operation/record.ts'
import { type Jurisdiction, within } from '../platform/objects.ts'

/** An operation whose outcome was unknown when it was put on the list. */
export interface StuckEntry {
  readonly operationId: string
  readonly tenant: string
  readonly operation: string
  readonly reason: UnknownReason
  readonly correlationId: string
  /** Epoch milliseconds. */
  readonly since: number
  /** Name of its object, if that is not the operation's id. */
  readonly object?: string
}

/** An operation as it stands on the list. */
export interface ListedEntry extends StuckEntry {
  /** Names this listing. An operation that is listed again gets a new, higher one. */
  readonly sequence: number
}

/** An event of the outbox that could not be delivered, or a message of a queue that could not be processed. */
export interface DeadLetter {
  readonly id: string
  readonly from: 'outbox' | 'inbox'
  /** Where an event should have gone; `null` for a message. */
  readonly destination: Destination | null
  /** CloudEvents `type`, or the queue's name; `sealed` where the event could not be opened. */
  readonly type: string
  readonly tenant: string | null
  readonly operationId: string | null
  readonly correlationId: string | null
  readonly reason: string
  /** The decision about a message: it is processed again only if an operator overrides it. */
  readonly decision?: Decision
  readonly attempts: number
  /** Epoch milliseconds. */
  readonly at: number
  /** The event or message, as `toStoredBytes` writes it for the purpose `dead letter`. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /**
   * The event could not be opened: its bytes are those of the outbox, written for the purpose
   * `event` and its operation, and open once the secret is back. Until then its type is not known.
   */
  readonly isUnopened?: boolean
}

/** The decision about the message of a letter when it was replayed. */
export type Decided = Required<Pick<DeadLetter, 'decision' | 'reason' | 'operationId'>>

/** Part of a list, the newest entries first. */
export interface Page<entry> {
  readonly entries: readonly entry[]
  /** Where the next part begins, or `null` at the end. */
  readonly next: number | null
}

export interface PageQuestion {
  /** Where it begins: `next` of the part before, or `null`. */
  readonly after: number | null
  readonly limit: number
}

/** How many entries the operators' lists have. */
export interface DirectoryCount {
  readonly stuck: number
  readonly letters: number
  /** What the letters hold of the object's storage. */
  readonly letterBytes: number
  /** Since when the oldest of the stuck operations is, in epoch milliseconds. */
  readonly oldestAt: number | null
}

/** The RPC methods of the directory: the one object with the operators' lists. */
export interface Directory {
  /**
   * Puts an operation on the list of those whose outcome is unknown.
   *
   * @param saidAt Epoch milliseconds at which its object read its record; no two are the same.
   *   Messages may be late, or overtake each other: only the latest counts.
   */
  list(entry: StuckEntry, saidAt?: number): Promise<void>
  /** Takes an operation off the list, as its object says. @param saidAt As for `list`. */
  unlist(operationId: string, saidAt: number): Promise<void>
  /** Lists stuck operations. One that was resolved meanwhile stays listed until it is struck off. */
  listStuck(question: PageQuestion): Promise<Page<ListedEntry>>
  /** Strikes off operations that a reader of the list has found resolved: only the listings that it has read. */
  strike(entries: readonly Pick<ListedEntry, 'operationId' | 'sequence'>[]): Promise<void>
  /** @throws {Error} When there is no room: the caller keeps the letter until there is. */
  bury(letter: DeadLetter): Promise<void>
  /** Notes that an unknown outcome was found not to have been executed: its letters are undecided. */
  undecide(operationId: string): Promise<void>
  /** Notes the decision about the message of a letter, if the letter still exists. */
  decide(id: string, decided: Decided): Promise<void>
  listLetters(question: PageQuestion): Promise<Page<Omit<DeadLetter, 'bytes'>>>
  letter(id: string): Promise<DeadLetter | null>
  count(): Promise<DirectoryCount>
  /** @returns `false` when there was none. */
  dropLetter(id: string): Promise<boolean>
}

/** The longest name in a list, in UTF-16 code units. Messages may contain longer ones. */
const MAX_NAME = 512

/** A dead letter as it is listed: long names are cut, so that a page does not become too large. */
export function toListed(head: Omit<DeadLetter, 'bytes'>): Omit<DeadLetter, 'bytes'> {
  const { type, tenant, correlationId, reason } = head
  return {
    ...head,
    type: cut(type),
    tenant: tenant && cut(tenant),
    correlationId: correlationId && cut(correlationId),
    reason: cut(reason),
  }
}

/** A name as it is listed. */
export function cut(name: string): string {
  return name.length > MAX_NAME ? `${name.slice(0, MAX_NAME - 1).toWellFormed()}…` : name
}

const NAME = 'directory'

/**
 * The directory of a deployment.
 *
 * @param jurisdiction Where it is; by default where the deployment is.
 * @throws {ConfigurationFault} Without the binding.
 */
export function directoryOf(
  env: HapaxEnv,
  jurisdiction: Jurisdiction = deployedPlacement().jurisdiction,
): Directory {
  return within(requireBinding(env, 'DIRECTORY'), jurisdiction).getByName(NAME) as Directory
}
