import { describe, expect, it } from 'vitest'

import { sendRaw } from '../client.ts'
import { statusOf, useConformance } from '../harness.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()

/** Sends header fields that no client library would send. */
function sendFields(path: string, ...fields: string[]) {
  const head = [`POST ${path} HTTP/1.1`, 'Authorization: Bearer alice', ...fields]
  return sendRaw(conformance.gateway.url, head)
}

describe.concurrent('Idempotency-Key', () => {
  it.each([
    { name: 'two header fields', fields: ['Idempotency-Key: a', 'Idempotency-Key: b'] },
    { name: 'the same field twice', fields: ['Idempotency-Key: a', 'Idempotency-Key: a'] },
    { name: 'two quoted fields', fields: ['Idempotency-Key: "a"', 'Idempotency-Key: "a"'] },
    { name: 'fields in two cases', fields: ['Idempotency-Key: a', 'idempotency-key: a'] },
    { name: 'a list of bare keys', fields: ['Idempotency-Key: a, b'] },
    { name: 'a list without space', fields: ['Idempotency-Key: a,b'] },
    { name: 'a list of Strings', fields: ['Idempotency-Key: "a", "b"'] },
    { name: 'a String with a parameter', fields: ['Idempotency-Key: "a";p=1'] },
    { name: 'a String and something', fields: ['Idempotency-Key: "a"b'] },
    { name: 'an inner list', fields: ['Idempotency-Key: ("a" "b")'] },
    { name: 'a String without an end', fields: ['Idempotency-Key: "a'] },
    { name: 'a String with another escape', fields: [String.raw`Idempotency-Key: "a\n"`] },
    { name: 'a bare key with a quote', fields: ['Idempotency-Key: a"b'] },
    { name: 'a bare key with a space', fields: ['Idempotency-Key: a b'] },
    { name: 'a bare key with a tab', fields: ['Idempotency-Key: a\tb'] },
    { name: 'a String with a tab', fields: ['Idempotency-Key: "a\tb"'] },
    { name: 'a Latin-1 letter', fields: ['Idempotency-Key: caf\u00E9'] },
    { name: 'a Latin-1 letter in a String', fields: ['Idempotency-Key: "caf\u00E9"'] },
    { name: 'UTF-8', fields: ['Idempotency-Key: \u00C3\u00A9'] },
    { name: 'an empty field', fields: ['Idempotency-Key:'] },
    { name: 'spaces only', fields: ['Idempotency-Key:    '] },
    { name: 'an empty String', fields: ['Idempotency-Key: ""'] },
    { name: 'a DEL', fields: ['Idempotency-Key: a\u007Fb'] },
    { name: '256 characters', fields: [`Idempotency-Key: ${'k'.repeat(256)}`] },
    { name: '256 quoted characters', fields: [`Idempotency-Key: "${'k'.repeat(256)}"`] },
  ])('is refused as key-invalid when it is $name', async ({ fields }) => {
    const { path, calls } = conformance.operation('default')
    expectProblem(await sendFields(path, ...fields), 'key-invalid')
    expect(calls()).toHaveLength(0)
  })

  it.each([
    { name: 'NUL', code: 0x00 },
    { name: 'BEL', code: 0x07 },
    { name: 'ESC', code: 0x1b },
  ])('with the control character $name does not get to the origin', async ({ code }) => {
    const { path, calls } = conformance.operation('default')
    const reply = await sendFields(path, `Idempotency-Key: a${String.fromCharCode(code)}b`)
    expect(reply.status).toBe(400)
    expect(calls()).toHaveLength(0)
  })

  it.each([
    { rule: 'more than one', field: 'a, b', says: /more than one key/ },
    { rule: 'too long', field: 'k'.repeat(256), says: /256 characters; at most 255/ },
    { rule: 'empty', field: '""', says: /empty/ },
    { rule: 'not ASCII', field: '\u00E9', says: /visible ASCII/ },
    { rule: 'parameters', field: '"a";p=1', says: /no parameters/ },
  ])('that is malformed is told which rule it breaks: $rule', async ({ field, says }) => {
    const { path } = conformance.operation('default')
    const reply = await sendFields(path, `Idempotency-Key: ${field}`)
    expect(reply.json()).toMatchObject({ detail: expect.stringMatching(says) })
  })

  it.each([
    { name: 'one character', field: 'x' },
    { name: '255 characters', field: 'k'.repeat(255) },
    { name: '255 characters after unquoting', field: `"${'q'.repeat(255)}"` },
    { name: 'every visible ASCII character but " and ,', field: visibleAscii() },
    { name: 'a String with spaces inside', field: '"a b c"' },
    { name: 'a String with a comma', field: '"a,b"' },
    { name: 'a bare key like parameters', field: 'a;p=1' },
    { name: 'white space around it', field: '  around\t' },
  ])('is taken when it is $name', async ({ field }) => {
    const { path, calls } = conformance.operation('default')
    const first = await sendFields(path, `Idempotency-Key: ${field}`)
    const second = await sendFields(path, `Idempotency-Key: ${field}`)
    expect([first.status, statusOf(first)]).toEqual([201, 'executed'])
    expect([second.status, statusOf(second)]).toEqual([201, 'replayed'])
    expect(calls()).toHaveLength(1)
  })

  it.each([
    { name: 'bare and quoted', one: 'same-1', other: '"same-1"' },
    { name: 'with and without space around', one: '"same-2"', other: '  same-2 ' },
    { name: 'with a backslash', one: String.raw`same\3`, other: String.raw`"same\\3"` },
  ])('is the same key $name', async ({ one, other }) => {
    const { path, calls } = conformance.operation('default')
    await sendFields(path, `Idempotency-Key: ${one}`)
    const second = await sendFields(path, `Idempotency-Key: ${other}`)
    expect([second.status, statusOf(second), second.text]).toEqual([201, 'replayed', '1'])
    expect(calls()).toHaveLength(1)
  })

  it('is another key in another case', async () => {
    const { path, calls } = conformance.operation('default')
    await sendFields(path, 'Idempotency-Key: case-a')
    const second = await sendFields(path, 'Idempotency-Key: CASE-A')
    expect([statusOf(second), second.text]).toEqual(['executed', '2'])
    expect(calls()).toHaveLength(2)
  })
})

function visibleAscii(): string {
  const all = Array.from({ length: 0x7e - 0x21 + 1 }, (_, at) => String.fromCharCode(0x21 + at))
  return all.join('').replaceAll(/[",]/g, '')
}
