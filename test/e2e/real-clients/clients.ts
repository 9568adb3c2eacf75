import Anthropic from '@anthropic-ai/sdk'
import { WorkOS } from '@workos-inc/node'
import axios, { AxiosError, type AxiosInstance } from 'axios'
import axiosRetry from 'axios-retry'
import { got, HTTPError as GotError } from 'got'
import ky, { HTTPError as KyError } from 'ky'
import ModernTreasury from 'modern-treasury'
import OpenAI from 'openai'
import { Resend } from 'resend'
import { SquareClient, SquareError } from 'square'
import { Stripe } from 'stripe'
import { ApiException, Svix } from 'svix'

/** One operation, as its client sends it. */
export interface Call {
  readonly key: string
  /** Part of the payload. */
  readonly note: string
}

/** Where a client is sent to. Besides, it has only the settings of `docs/real-clients.md`. */
export interface Target {
  readonly url: string
  readonly apiKey: string
}

/** What a client tries again by itself. */
interface Tries {
  /** Maximum number of tries, the first one included. */
  readonly most: number
  /** After a lost connection. */
  readonly lost: boolean
  /** After a 5xx; `unless-told`: not where `X-Should-Retry` or `Stripe-Should-Retry` is `false`. */
  readonly serverError: 'always' | 'unless-told' | 'never'
  /** After a 409 where `X-Should-Retry` or `Stripe-Should-Retry` is `true`. */
  readonly conflict: boolean
}

/** A client that exists, used as its documentation says. */
export interface RealClient {
  readonly name: string
  readonly tries: Tries
  /** Path of its call. */
  readonly path: string
  /** The API's answer, with this id. */
  answer(id: string): object
  /** Creates the client. @returns Makes a call, and resolves with the id in its result. */
  connect(target: Target): (call: Call) => Promise<string>
  /** The class of its errors, at least after an answer. */
  readonly Failure: new (...args: never[]) => Error
  /** Reads what went wrong where a user of the client finds it. Default: the message of the error. */
  why?(error: unknown): unknown
}

const OBEYS: Tries = { most: 3, lost: true, serverError: 'unless-told', conflict: true }
const TRIES_POST: Tries = { most: 3, lost: true, serverError: 'always', conflict: false }
const TRIES_ONCE: Tries = { most: 1, lost: false, serverError: 'never', conflict: false }

/** The SDK sends a key only where a subclass names the header: it is no option of its constructor. */
class IdempotentOpenAI extends OpenAI {
  protected override idempotencyHeader = 'Idempotency-Key'
}

/** The SDK of Resend gives its errors back and throws none. */
class ResendFailure extends Error {}

const headersOf = ({ apiKey }: Target, { key }: Call) => ({
  Authorization: `Bearer ${apiKey}`,
  'Idempotency-Key': key,
})

const PAYMENTS = { path: '/payments', answer: (id: string) => ({ id }) }

function gotWith(options: { readonly retry?: { readonly methods: ['POST'] } }) {
  return {
    ...PAYMENTS,
    connect: (target: Target) => async (call: Call) => {
      const { note } = call
      const headers = headersOf(target, call)
      const answer = got.post(`${target.url}/payments`, { ...options, json: { note }, headers })
      return (await answer.json<{ id: string }>()).id
    },
    Failure: GotError,
    why: (error: unknown) => (error as GotError).response.body,
  }
}

function kyWith(options: { readonly retry?: { readonly methods: ['post'] } }) {
  return {
    ...PAYMENTS,
    connect: (target: Target) => async (call: Call) => {
      const { note } = call
      const headers = headersOf(target, call)
      const answer = ky.post(`${target.url}/payments`, { ...options, json: { note }, headers })
      return (await answer.json<{ id: string }>()).id
    },
    Failure: KyError,
    why: (error: unknown) => (error as KyError).response.text(),
  }
}

function axiosWith(prepare: (client: AxiosInstance) => void) {
  return {
    ...PAYMENTS,
    connect(target: Target) {
      const client = axios.create({ baseURL: target.url })
      prepare(client)
      return async (call: Call) => {
        const { note } = call
        const headers = headersOf(target, call)
        const { data } = await client.post<{ id: string }>('/payments', { note }, { headers })
        return data.id
      }
    },
    Failure: AxiosError,
    why: (error: unknown) => (error as AxiosError).response?.data,
  }
}

/** The clients, in the order of `docs/real-clients.md`. */
export const CLIENTS: readonly RealClient[] = [
  {
    name: 'stripe',
    tries: OBEYS,
    path: '/v1/payment_intents',
    answer: (id) => ({ id, object: 'payment_intent' }),
    connect({ url, apiKey }) {
      const { hostname, port } = new URL(url)
      const stripe = new Stripe(apiKey, { host: hostname, port: Number(port), protocol: 'http' })
      return async ({ key, note }) => {
        const intent = { amount: 500, currency: 'eur', description: note }
        const { id } = await stripe.paymentIntents.create(intent, { idempotencyKey: key })
        return id
      }
    },
    Failure: Stripe.errors.StripeError,
  },
  {
    name: 'openai',
    tries: OBEYS,
    path: '/chat/completions',
    answer: (id) => ({ id, object: 'chat.completion', choices: [] }),
    connect({ url, apiKey }) {
      const openai = new IdempotentOpenAI({ apiKey, baseURL: url })
      return async ({ key, note }) => {
        const { id } = await openai.chat.completions.create(
          { model: 'm', messages: [{ role: 'user', content: note }] },
          { idempotencyKey: key },
        )
        return id
      }
    },
    Failure: OpenAI.APIError,
  },
  {
    name: '@anthropic-ai/sdk',
    tries: OBEYS,
    path: '/v1/messages',
    answer: (id) => ({ id, type: 'message', content: [] }),
    connect({ url, apiKey }) {
      const anthropic = new Anthropic({ apiKey, baseURL: url })
      return async ({ key, note }) => {
        const { id } = await anthropic.messages.create(
          { model: 'm', max_tokens: 16, messages: [{ role: 'user', content: note }] },
          // Its option `idempotencyKey` has no effect.
          { headers: { 'Idempotency-Key': key } },
        )
        return id
      }
    },
    Failure: Anthropic.APIError,
  },
  {
    name: 'modern-treasury',
    tries: OBEYS,
    path: '/api/payment_orders',
    answer: (id) => ({ id, object: 'payment_order' }),
    connect({ url, apiKey }) {
      const treasury = new ModernTreasury({ apiKey, organizationID: 'org', baseURL: url })
      return async ({ key, note }) => {
        const { id } = await treasury.paymentOrders.create(
          {
            type: 'ach',
            amount: 500,
            direction: 'credit',
            originating_account_id: 'account',
            description: note,
          },
          { idempotencyKey: key },
        )
        return id
      }
    },
    Failure: ModernTreasury.APIError,
  },
  {
    name: 'svix',
    tries: TRIES_POST,
    path: '/api/v1/app/app/msg',
    answer: (id) => ({ id, eventType: 'paid', payload: {}, timestamp: new Date(0) }),
    connect({ url, apiKey }) {
      const svix = new Svix(apiKey, { serverUrl: url })
      return async ({ key, note }) => {
        const message = { eventType: 'paid', payload: { note } }
        const { id } = await svix.message.create('app', message, { idempotencyKey: key })
        return id
      }
    },
    Failure: ApiException,
    why: (error) => (error as ApiException<unknown>).body,
  },
  {
    name: '@workos-inc/node',
    tries: TRIES_ONCE,
    path: '/organizations',
    answer: (id) => ({ id, object: 'organization', domains: [] }),
    connect({ url, apiKey }) {
      const { hostname, port } = new URL(url)
      const workos = new WorkOS(apiKey, { apiHostname: hostname, port: Number(port), https: false })
      return async ({ key, note }) => {
        const { organizations } = workos
        const { id } = await organizations.createOrganization(
          { name: note },
          { idempotencyKey: key },
        )
        return id
      }
    },
    Failure: Error,
    why: (error) => Object.entries(error as object),
  },
  {
    name: 'resend',
    tries: TRIES_ONCE,
    path: '/emails',
    answer: (id) => ({ id }),
    connect({ url, apiKey }) {
      const resend = new Resend(apiKey, { baseUrl: url })
      return async ({ key, note }) => {
        const { data, error } = await resend.emails.send(
          { from: 'a@example.com', to: 'b@example.com', subject: note, text: 'Paid.' },
          { idempotencyKey: key },
        )
        if (error !== null) throw new ResendFailure(error.message)
        return data.id
      }
    },
    Failure: ResendFailure,
  },
  {
    name: 'square',
    tries: { ...TRIES_POST, lost: false },
    path: '/v2/payments',
    answer: (id) => ({ payment: { id } }),
    connect({ url, apiKey }) {
      const square = new SquareClient({ token: apiKey, baseUrl: url })
      return async ({ key, note }) => {
        const { payment } = await square.payments.create({
          idempotencyKey: key,
          sourceId: 'cash',
          amountMoney: { amount: 500n, currency: 'EUR' },
          note,
        })
        return payment?.id ?? ''
      }
    },
    Failure: SquareError,
  },
  { name: 'got', tries: TRIES_ONCE, ...gotWith({}) },
  {
    name: 'got with POST retries',
    tries: TRIES_POST,
    ...gotWith({ retry: { methods: ['POST'] } }),
  },
  { name: 'ky', tries: TRIES_ONCE, ...kyWith({}) },
  { name: 'ky with POST retries', tries: TRIES_POST, ...kyWith({ retry: { methods: ['post'] } }) },
  { name: 'axios', tries: TRIES_ONCE, ...axiosWith(() => {}) },
  {
    name: 'axios-retry',
    tries: { ...TRIES_ONCE, most: 4, lost: true },
    ...axiosWith((client) => axiosRetry(client)),
  },
  {
    name: 'axios-retry with POST retries',
    tries: { ...TRIES_POST, most: 4 },
    ...axiosWith((client) =>
      axiosRetry(client, { retryCondition: (error) => axiosRetry.isRetryableError(error) }),
    ),
  },
]
