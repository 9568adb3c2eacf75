import { MAX_IDS } from './many.ts'
import { MAX_BODY_BYTES } from './resolution.ts'

/** The OpenAPI 3.1 document of the admin API. */
export function toAdminOpenApi(): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Hapax admin API',
      version: '1',
      summary: 'Look operations up, decide about those that are stuck, and see to dead letters.',
      description:
        'Every change is audited: a line in the log and a point with the method `ADMIN`. Without configured authentication none of these paths exists.',
    },
    servers: [{ url: '/_hapax/admin' }],
    security: [{ bearer: [] }, { access: [] }],
    tags: [
      { name: 'operations', description: 'One operation of one tenant and key.' },
      { name: 'analytics', description: 'What the requests have left as points.' },
      { name: 'dead letters', description: 'Events and messages that nobody took.' },
    ],
    paths: PATHS,
    components: { schemas: SCHEMAS, responses: RESPONSES, parameters: PARAMETERS, securitySchemes },
  }
}

const securitySchemes = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    description: '`HAPAX_ADMIN_TOKEN`, or for the time of a rotation `HAPAX_ADMIN_TOKEN_PREVIOUS`.',
  },
  access: {
    type: 'apiKey',
    in: 'header',
    name: 'Cf-Access-Jwt-Assertion',
    description: 'The JWT that Cloudflare Access puts on a request it lets through.',
  },
}

const TEXT = { type: 'string' }
const NULLABLE_TEXT = { type: ['string', 'null'] }
const TIME = { type: 'string', format: 'date-time' }
const COUNT = { type: 'integer', minimum: 0 }
const FLAG = { type: 'boolean' }

type Properties = Readonly<Record<string, object>>

/** @param optional Members that are not always there. */
const objectOf = (properties: Properties, optional: Properties = {}) => ({
  type: 'object',
  required: Object.keys(properties),
  properties: { ...properties, ...optional },
})

const strictOf = (properties: Properties, optional: Properties = {}) => ({
  ...objectOf(properties, optional),
  additionalProperties: false,
})

const schema = (name: keyof typeof SCHEMAS) => ({ $ref: `#/components/schemas/${name}` })
const pageOf = (items: object) =>
  objectOf({
    entries: { type: 'array', items },
    next: {
      type: ['integer', 'null'],
      description: 'What `after` of the next page is; null at the end.',
    },
    total: {
      type: ['integer', 'null'],
      minimum: 0,
      description:
        'Entries of the whole list, among them those that are still to be struck off; null: they could not be counted.',
    },
  })

const REASON = {
  type: 'string',
  enum: ['origin-answered', 'origin-timeout', 'connection-lost', 'owner-lost', 'handler-threw'],
}
const OUTCOME = { enum: ['succeeded', 'failed', 'not_executed', 'unknown', null] }

const ATTEMPT = objectOf({
  fence: COUNT,
  startedAt: TIME,
  endedAt: { type: ['string', 'null'], format: 'date-time' },
  originStatus: { type: ['integer', 'null'] },
  fault: NULLABLE_TEXT,
  outcome: OUTCOME,
})

const TIMELINE_ENTRY = objectOf(
  { at: TIME, what: TEXT },
  { detail: { type: 'object', additionalProperties: { type: ['string', 'number'] } } },
)

const TIMELINE = { type: 'array', items: TIMELINE_ENTRY }

/** What an answer says of the points in its timeline. */
const POINTS_READ = {
  isCut: { ...FLAG, description: 'There are more points than the timeline shows.' },
  timelineNext: {
    type: ['integer', 'null'],
    description: 'What `after` of the next page of the timeline is; null at the end.',
  },
  analytics: {
    type: 'string',
    enum: ['read', 'unavailable'],
    description:
      'Whether the timeline holds what requests have left as points; absent where analytics are not configured.',
  },
}

const POINTS = { timeline: TIMELINE, ...POINTS_READ }

const OPERATION = objectOf(
  {
    id: { ...TEXT, description: 'A digest of tenant and key: it reveals neither.' },
    operation: TEXT,
    tenant: TEXT,
    state: { type: 'string', enum: ['in_progress', 'succeeded', 'failed', 'unknown', 'expired'] },
    correlationId: TEXT,
    traceparent: TEXT,
    fence: { ...COUNT, description: 'Attempt number of the last claim.' },
    createdAt: TIME,
    claimedAt: TIME,
    isRunning: { ...FLAG, description: 'Its object is calling the origin for it right now.' },
    recovery: { type: 'string', enum: ['hold', 'probe', 'resend'] },
    isDurable: FLAG,
    isAccepted: FLAG,
    attempts: { type: 'array', items: ATTEMPT },
    pendingEvents: COUNT,
    timeline: TIMELINE,
  },
  {
    ...POINTS_READ,
    settledAt: TIME,
    expiresAt: TIME,
    reason: REASON,
    owner: objectOf({ kind: { type: 'string', enum: ['object', 'worker'] } }, { leaseUntil: TIME }),
    nextAttemptAt: TIME,
    outcome: {
      enum: ['succeeded', 'failed', 'unknown'],
      description: 'How an expired operation ended, where that is still known.',
    },
    result: objectOf(
      {
        bodyBytes: COUNT,
        body: { type: 'string', enum: ['kept', 'none', 'omitted'] },
        isSealed: FLAG,
      },
      { status: { type: 'integer' } },
    ),
  },
)

/** @param which Members that say of which operations it is said. */
const resolutionOf = (which: Properties = {}) => ({
  oneOf: [
    strictOf({ ...which, outcome: { const: 'not_executed' } }),
    strictOf({
      ...which,
      outcome: { type: 'string', enum: ['succeeded', 'failed'] },
      response: strictOf(
        { status: { type: 'integer', minimum: 200, maximum: 599 } },
        {
          headers: { type: 'object', additionalProperties: TEXT, default: {} },
          body: { type: 'string', default: '', description: 'Text; none with 204, 205 and 304.' },
        },
      ),
    }),
  ],
})

const IDS = {
  ids: { type: 'array', minItems: 1, maxItems: MAX_IDS, uniqueItems: true, items: TEXT },
}

const RESULTS = objectOf({
  results: {
    type: 'array',
    description: 'In the order of the ids.',
    items: objectOf(
      {
        id: TEXT,
        result: {
          type: 'string',
          enum: ['done', 'refused', 'not-found', 'unconfirmed'],
          description: '`unconfirmed`: nobody knows whether it was done. Look at it first.',
        },
      },
      { because: { ...TEXT, description: 'Why it was refused.' } },
    ),
  },
})

const OVERRIDE = {
  override: {
    ...FLAG,
    default: false,
    description:
      'Does a message also where it was decided about it, and its operation is forgotten.',
  },
}

const STUCK = objectOf(
  {
    id: TEXT,
    tenant: TEXT,
    operation: TEXT,
    reason: REASON,
    correlationId: TEXT,
    since: TIME,
    ageSeconds: COUNT,
    nextAttemptAt: {
      type: ['string', 'null'],
      format: 'date-time',
      description: 'When the alarm sees to it of its own accord; null: never, or not known.',
    },
  },
  {
    isInProgress: { ...FLAG, description: 'It is being sent again right now.' },
    isLost: { ...FLAG, description: 'Its object did not answer: it may be resolved by now.' },
  },
)

const DESTINATION = {
  oneOf: [
    objectOf({ to: { const: 'queue' }, binding: TEXT }),
    objectOf(
      { to: { const: 'webhook' }, url: TEXT },
      {
        secret: { ...TEXT, description: 'Name of the secret that signs, where it has its own.' },
        headers: {
          type: 'object',
          additionalProperties: {
            oneOf: [TEXT, objectOf({ secret: TEXT }, { scheme: TEXT })],
          },
          description: 'Further headers; of a secret its name alone.',
        },
        keyId: TEXT,
      },
    ),
    { type: 'null' },
  ],
}

const LETTER = {
  id: TEXT,
  from: { type: 'string', enum: ['outbox', 'inbox'] },
  destination: { ...DESTINATION, description: 'Where an event should have gone.' },
  type: {
    ...TEXT,
    description: "CloudEvents `type`, or the queue's name; `sealed` of an event that is unopened.",
  },
  tenant: NULLABLE_TEXT,
  operationId: NULLABLE_TEXT,
  correlationId: NULLABLE_TEXT,
  reason: TEXT,
  attempts: COUNT,
  at: TIME,
}

const OF_SOME_LETTERS = {
  decision: {
    type: 'string',
    enum: ['mismatch', 'failed', 'outcome-unknown'],
    description:
      'What was decided about a message: where nothing is known of its operation any more, it is done only with `override`.',
  },
  isUnopened: {
    ...FLAG,
    description:
      'The event could not be opened when it became a letter: it can be shown and replayed when the secret is back that it was sealed under.',
  },
}

const LOST = objectOf({ id: TEXT, state: { const: 'lost' } })

const FOUND = objectOf(
  {
    operations: {
      type: 'array',
      items: { oneOf: [{ $ref: '#/components/schemas/Operation' }, LOST] },
      description: 'A lost one is there, but its object did not answer.',
    },
    next: {
      ...NULLABLE_TEXT,
      description: 'What `after` of the next page is; null at the end.',
    },
  },
  POINTS,
)

const ROWS = objectOf({
  query: TEXT,
  since: TIME,
  bucketSeconds: COUNT,
  rows: { type: 'array', items: { type: 'object' } },
  isCut: { ...FLAG, description: 'There are more rows than the query shows.' },
})

const SCHEMAS = {
  Found: FOUND,
  Timeline: objectOf(POINTS),
  Rows: ROWS,
  Operation: OPERATION,
  LookUp: strictOf({ tenant: TEXT, key: TEXT }, { consumer: TEXT, operation: TEXT }),
  Resolution: resolutionOf(),
  Resolutions: resolutionOf(IDS),
  Replay: strictOf({}, OVERRIDE),
  Replays: strictOf(IDS, OVERRIDE),
  Ids: strictOf(IDS),
  Results: RESULTS,
  StuckPage: pageOf(STUCK),
  DeadLetterPage: pageOf(objectOf(LETTER, OF_SOME_LETTERS)),
  DeadLetter: objectOf(
    {
      ...LETTER,
      content: {
        description:
          'The event, or the body of the message; null where it was sealed under a secret that is gone.',
      },
    },
    OF_SOME_LETTERS,
  ),
  Problem: objectOf(
    {
      type: { type: 'string', format: 'uri-reference' },
      title: TEXT,
      status: { type: 'integer' },
      detail: TEXT,
    },
    { code: { const: 'analytics-not-configured' } },
  ),
}

const problemOf = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: schema('Problem') } },
})

const RESPONSES = {
  BadRequest: problemOf('It cannot be read. The detail says what to send.'),
  Unauthorized: {
    ...problemOf('No credentials, or wrong ones.'),
    headers: { 'WWW-Authenticate': { schema: TEXT } },
  },
  Later: {
    ...problemOf(
      'What was asked did not answer, or the keys of Cloudflare Access could not be read. Try again.',
    ),
    headers: { 'Retry-After': { schema: TEXT } },
  },
  Forbidden: problemOf('A browser sent it for another site.'),
  NotFound: problemOf('There is nothing of this name.'),
  Conflict: problemOf('It was refused, and nothing has changed. The detail says why.'),
  TooLarge: problemOf(`The request has more than ${MAX_BODY_BYTES} bytes.`),
  NotJson: problemOf('It comes through Access and is not application/json.'),
  Failed: problemOf('It failed. The log says why.'),
  NoRows: problemOf('The Analytics Engine did not answer with rows.'),
  NoAnalytics: problemOf(
    'This deployment cannot ask its Analytics Engine, or could not read the keys of Cloudflare Access.',
  ),
  Unconfirmed: problemOf(
    'Nobody knows whether it was done: look at it first. Or what was asked did not answer, or the keys of Cloudflare Access could not be read.',
  ),
}

const PARAMETERS = {
  OperationId: {
    name: 'id',
    in: 'path',
    required: true,
    schema: TEXT,
    description: 'Operation id.',
  },
  LetterId: { name: 'id', in: 'path', required: true, schema: TEXT, description: 'Letter id.' },
  AfterId: {
    name: 'after',
    in: 'query',
    description: '`next` of the page before.',
    schema: TEXT,
  },
  AfterPoints: {
    name: 'after',
    in: 'query',
    description: '`timelineNext` of the page before.',
    schema: { type: 'integer', minimum: 1 },
  },
  CorrelationId: { name: 'correlation_id', in: 'query', required: true, schema: TEXT },
  Query: {
    name: 'query',
    in: 'path',
    required: true,
    description: 'Name of the query. A wrong one is answered with all of them.',
    schema: TEXT,
  },
  Since: {
    name: 'since',
    in: 'query',
    description: 'How far back.',
    schema: { type: 'string', default: '1h', examples: ['15m', '24h', '7d'] },
  },
  Route: { name: 'route', in: 'query', description: 'Only this operation.', schema: TEXT },
  Tenant: { name: 'tenant', in: 'query', description: 'Only this tenant.', schema: TEXT },
  Limit: {
    name: 'limit',
    in: 'query',
    description: 'Entries of a page. One of them may be gone since, so a page may hold fewer.',
    schema: { type: 'integer', minimum: 1, maximum: 100, default: 50 },
  },
  After: {
    name: 'after',
    in: 'query',
    description: '`next` of the page before.',
    schema: { type: 'integer', minimum: 1 },
  },
}

const parameters = (...names: readonly (keyof typeof PARAMETERS)[]) =>
  names.map((name) => ({ $ref: `#/components/parameters/${name}` }))
const response = (name: keyof typeof RESPONSES) => ({ $ref: `#/components/responses/${name}` })
const json = (described: object, description: string) => ({
  description,
  content: { 'application/json': { schema: described } },
})
const bodyOf = (described: object, required = true) => ({
  required,
  content: { 'application/json': { schema: described } },
})

const DONE = { description: 'Done. Nothing is left of it.' }
const BAD = { 400: response('BadRequest') }
const MISSING = { 404: response('NotFound') }
const REFUSED = { 409: response('Conflict') }
const ANALYTICS = { 502: response('NoRows'), 503: response('NoAnalytics') }
const UNCONFIRMED = { 503: response('Unconfirmed') }

/** What may be answered to everything. */
const ALWAYS = {
  401: response('Unauthorized'),
  500: response('Failed'),
  503: response('Later'),
}
const CHANGING = {
  ...ALWAYS,
  403: response('Forbidden'),
  413: response('TooLarge'),
  415: response('NotJson'),
}

const EACH = {
  200: json(schema('Results'), 'What came of each.'),
  ...BAD,
  ...CHANGING,
}

const OPERATION_NOW = json(schema('Operation'), 'The operation as it is now.')

const PATHS = {
  '/openapi.json': {
    get: {
      operationId: 'getOpenApi',
      summary: 'This document',
      responses: { 200: json({ type: 'object' }, 'This document.'), ...ALWAYS },
    },
  },
  '/operations/lookup': {
    post: {
      operationId: 'lookUpOperation',
      tags: ['operations'],
      summary: 'Find an operation by its tenant and key',
      description:
        'In a body, since a key has no place in a URL. The tenant is named as in metrics and logs. Name the operation where its keys count within it, as those of webhooks and queues do.',
      requestBody: bodyOf(schema('LookUp')),
      responses: { 200: OPERATION_NOW, ...BAD, ...MISSING, ...CHANGING },
    },
  },
  '/operations/resolve': {
    post: {
      operationId: 'resolveOperations',
      tags: ['operations'],
      summary: 'Say the same of many operations whose outcome is unknown',
      requestBody: bodyOf(schema('Resolutions')),
      responses: EACH,
    },
  },
  '/operations': {
    get: {
      operationId: 'findOperations',
      tags: ['operations'],
      summary: 'Find operations by a correlation id of theirs',
      description:
        'Of any request, recovery, delivery or change. Asks the Analytics Engine. The first page comes with the timeline of the id.',
      parameters: parameters('CorrelationId', 'Limit', 'AfterId'),
      responses: {
        200: json(schema('Found'), 'The operations, and what bears the correlation id.'),
        ...BAD,
        ...ALWAYS,
        ...ANALYTICS,
      },
    },
  },
  '/timeline': {
    get: {
      operationId: 'getTimeline',
      tags: ['operations'],
      summary: 'The timeline of a correlation id',
      description: 'Everything that bears it: requests, recoveries, deliveries and changes.',
      parameters: parameters('CorrelationId', 'AfterPoints'),
      responses: {
        200: json(schema('Timeline'), 'A page of the timeline.'),
        ...BAD,
        ...ALWAYS,
        ...ANALYTICS,
      },
    },
  },
  '/operations/{id}': {
    parameters: parameters('OperationId'),
    get: {
      operationId: 'getOperation',
      tags: ['operations'],
      summary: 'An operation and its timeline',
      description: 'Of a later page, the timeline holds points alone.',
      parameters: parameters('AfterPoints'),
      responses: { 200: OPERATION_NOW, ...BAD, ...MISSING, ...ALWAYS },
    },
    delete: {
      operationId: 'eraseOperation',
      tags: ['operations'],
      summary: 'Forget an operation altogether: its key is new again',
      responses: { 204: DONE, ...MISSING, ...REFUSED, ...CHANGING, ...UNCONFIRMED },
    },
  },
  '/operations/{id}/release': {
    parameters: parameters('OperationId'),
    post: {
      operationId: 'releaseOperation',
      tags: ['operations'],
      summary: 'Give up a claim whose Worker is thought lost',
      description: 'Its outcome is unknown from then on, and the policy of its route holds.',
      responses: { 200: OPERATION_NOW, ...MISSING, ...REFUSED, ...CHANGING, ...UNCONFIRMED },
    },
  },
  '/operations/{id}/resolve': {
    parameters: parameters('OperationId'),
    post: {
      operationId: 'resolveOperation',
      tags: ['operations'],
      summary: 'Say what became of an unknown outcome',
      requestBody: bodyOf(schema('Resolution')),
      responses: {
        200: OPERATION_NOW,
        204: { description: 'It was not executed: its key is free.' },
        ...BAD,
        ...MISSING,
        ...REFUSED,
        ...CHANGING,
        ...UNCONFIRMED,
      },
    },
  },
  '/analytics/{query}': {
    get: {
      operationId: 'queryAnalytics',
      tags: ['analytics'],
      summary: 'The rows of a named query',
      parameters: parameters('Query', 'Since', 'Route', 'Tenant'),
      responses: {
        200: json(schema('Rows'), 'The rows.'),
        ...BAD,
        ...MISSING,
        ...ALWAYS,
        ...ANALYTICS,
      },
    },
  },
  '/stuck': {
    get: {
      operationId: 'listStuck',
      tags: ['operations'],
      summary: 'Operations whose outcome is unknown, the newest first',
      parameters: parameters('Limit', 'After'),
      responses: { 200: json(schema('StuckPage'), 'A page of the list.'), ...BAD, ...ALWAYS },
    },
  },
  '/dead-letters': {
    get: {
      operationId: 'listDeadLetters',
      tags: ['dead letters'],
      summary: 'Dead letters without their content, the newest first',
      parameters: parameters('Limit', 'After'),
      responses: { 200: json(schema('DeadLetterPage'), 'A page of the list.'), ...BAD, ...ALWAYS },
    },
  },
  '/dead-letters/replay': {
    post: {
      operationId: 'replayDeadLetters',
      tags: ['dead letters'],
      summary: 'Deliver many events again, or do many messages again, right now',
      requestBody: bodyOf(schema('Replays')),
      responses: EACH,
    },
  },
  '/dead-letters/drop': {
    post: {
      operationId: 'dropDeadLetters',
      tags: ['dead letters'],
      summary: 'Give many dead letters up',
      requestBody: bodyOf(schema('Ids')),
      responses: EACH,
    },
  },
  '/dead-letters/{id}': {
    parameters: parameters('LetterId'),
    get: {
      operationId: 'getDeadLetter',
      tags: ['dead letters'],
      summary: 'A dead letter and its content',
      responses: { 200: json(schema('DeadLetter'), 'The letter.'), ...MISSING, ...ALWAYS },
    },
    delete: {
      operationId: 'dropDeadLetter',
      tags: ['dead letters'],
      summary: 'Give a dead letter up',
      responses: { 204: DONE, ...MISSING, ...CHANGING, ...UNCONFIRMED },
    },
  },
  '/dead-letters/{id}/replay': {
    parameters: parameters('LetterId'),
    post: {
      operationId: 'replayDeadLetter',
      tags: ['dead letters'],
      summary: 'Deliver an event again, or do a message again, right now',
      description: 'An event has the same id again. Where it fails, the letter stays.',
      requestBody: bodyOf(schema('Replay'), false),
      responses: { 204: DONE, ...BAD, ...MISSING, ...REFUSED, ...CHANGING, ...UNCONFIRMED },
    },
  },
}
