import { describe, expect, it } from 'vitest'

import { statusOf, useConformance } from '../harness.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()

describe.concurrent('a tenant', () => {
  it('has keys of its own: the same key of two credentials is two operations', async () => {
    const one = conformance.operation('default')
    const alice = await one.send({ authorization: 'Bearer alice' })
    const bob = await one.send({ authorization: 'Bearer bob' })
    expect([statusOf(alice), alice.text]).toEqual(['executed', '1'])
    expect([statusOf(bob), bob.text]).toEqual(['executed', '2'])
    expect((await one.send({ authorization: 'Bearer alice' })).text).toBe('1')
    expect((await one.send({ authorization: 'Bearer bob' })).text).toBe('2')
    expect(one.calls()).toHaveLength(2)
  })

  it('never sees a mismatch with the request of another', async () => {
    const one = conformance.operation('default')
    await one.send({ authorization: 'Bearer alice' })
    const bob = await one.send({ authorization: 'Bearer bob', body: '{"amount":6}' })
    expect([bob.status, statusOf(bob)]).toEqual([201, 'executed'])
  })

  it('is not waited for by another', async () => {
    const one = conformance.operation('no-wait')
    const release = one.hold()
    const alice = one.send({ authorization: 'Bearer alice' })
    await one.received()
    const bob = one.send({ authorization: 'Bearer bob' })
    await one.received(2)
    release((response) => void response.end('x'))
    expect([statusOf(await alice), statusOf(await bob)]).toEqual(['executed', 'executed'])
  })

  it('cannot be made by moving letters between credential and key', async () => {
    const one = conformance.operation('default')
    await one.send({ authorization: 'Bearer a', key: 'bc' })
    expect(statusOf(await one.send({ authorization: 'Bearer ab', key: 'c' }))).toBe('executed')
    expect(one.calls()).toHaveLength(2)
  })

  it('gives the origin another derived key than another tenant', async () => {
    const one = conformance.operation('default')
    await one.send({ authorization: 'Bearer alice' })
    await one.send({ authorization: 'Bearer bob' })
    const keys = one.calls().map(({ headers }) => headers['idempotency-key'])
    expect(new Set(keys).size).toBe(2)
  })

  it('is never a shared default: without credentials nothing is executed', async () => {
    const one = conformance.operation('default')
    expectProblem(await one.send({ authorization: null }), 'tenant-missing')
    expectProblem(await one.send({ authorization: null }), 'tenant-missing')
    expect(one.calls()).toHaveLength(0)
  })

  it('is not told by an empty credential', async () => {
    const one = conformance.operation('default')
    expectProblem(await one.send({ authorization: '' }), 'tenant-missing')
    expect(one.calls()).toHaveLength(0)
  })
})

describe.concurrent('a key', () => {
  it('is unique over all routes: on another route it is a mismatch', async () => {
    const one = conformance.operation('default')
    await one.send()
    expectProblem(await one.send({ path: '/second-route/1' }), 'key-reused')
    expect(one.calls()).toHaveLength(1)
    expect(conformance.origin.callsTo('/second-route/1')).toHaveLength(0)
  })

  it('is unique over forwarded routes and handlers in the Worker', async () => {
    const one = conformance.operation('default')
    await one.send()
    expectProblem(await one.send({ path: '/handler/tenants' }), 'key-reused')
    expect(conformance.origin.callsTo('/runs/handler/tenants')).toHaveLength(0)
  })

  it('is not slipped past by a slash at the end of the path', async () => {
    const one = conformance.operation('handler', 'slash')
    expectProblem(await one.send({ path: '/handler/slash/', key: null }), 'key-missing')
    expect(conformance.origin.callsTo('/runs/handler/slash/')).toHaveLength(0)
  })
})
