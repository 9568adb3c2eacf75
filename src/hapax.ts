/** The public API: what a deployment imports. */
export type { Duration } from './core/duration.ts'
export { perKey, type PerKeyOptions, sharded, type ShardedOptions } from './config/placement.ts'
export { type Origin, type OriginOptions, service, url } from './config/origins.ts'
export type { Placement } from './core/operation/placement.ts'
export { type FingerprintFunction, type PolicyOptions, probe } from './config/policy.ts'
export { IdempotencyObject } from './object/idempotency-object.ts'
export { DirectoryObject } from './directory/directory-object.ts'
export type {
  JudgedAnswer,
  OutcomeFunction,
  OutcomeJudge,
  OutcomeRules,
} from './core/outcome/outcome-rules.ts'
export { retry, type RetryContext, type RetryTry } from './client/retry.ts'
export type { Sleep } from './client/sleep.ts'
export type { RetryOptions } from './core/retry/retry-options.ts'
export { NotExecuted, type NotExecutedOptions } from './core/outcome/not-executed.ts'
export type { Outcome } from './core/outcome/outcome.ts'
export { type Destination, queue, webhook, type WebhookOptions } from './core/event/destination.ts'
export type { CloudEvent, EmittedEvent } from './core/event/event.ts'
export { secret, type SecretRef } from './core/event/secret.ts'
export { emit } from './http/emit.ts'
export type { ErrorFacts, ErrorHook } from './http/error-facts.ts'
export { createGateway } from './http/gateway.ts'
export type { HapaxEnv } from './config/env.ts'
export type { GatewayEnv, HapaxVariables, TenantResolver } from './http/gateway-env.ts'
export type { GatewayOptions, HapaxOptions } from './http/gateway-options.ts'
export { hapax } from './http/hapax.ts'
export type { OperationContext } from './core/operation/operation-context.ts'
export { createWorker, type HapaxWorker, type WorkerOptions } from './create-worker.ts'
export {
  body,
  business,
  header,
  type KeyScope,
  type KeySource,
  type KeySourceOptions,
  param,
  query,
  repeatability,
} from './core/request/key-source.ts'
export { batch, type BatchOptions } from './http/batch.ts'
export { from } from './http/key-function.ts'
export { mcp } from './http/mcp.ts'
export { anonymous, claim, combine, cookie, credential, fromHeader } from './http/tenants.ts'
export { idempotent } from './http/idempotent.ts'
export { consume } from './queue/consume.ts'
export type { ConsumeOptions, Handlers } from './queue/consume-options.ts'
export type { QueueConsumer } from './queue/consumer-registry.ts'
export {
  createD1Outbox,
  D1_OUTBOX_SQL,
  type D1Outbox,
  type D1OutboxOptions,
  d1OutboxSql,
  d1OutboxUpgradeSql,
} from './outbox/d1-outbox.ts'
export {
  forward,
  type HandledMessage,
  type MessageContext,
  type MessageHandler,
} from './queue/message-handler.ts'
export type { MessagePolicy } from './queue/message-route.ts'
export { asClaim, asHeader, attribute, event, messageId } from './queue/message-source.ts'
export type { ReceivedMessage } from './queue/message.ts'
export { passTo } from './http/pass-to.ts'
export { protect } from './http/protect.ts'
export { cron, type CronOptions, type CronTick } from './once/cron.ts'
export { once, type Once } from './once/once.ts'
export type { OnceOptions } from './client/once.ts'
export type { WorkerOncePolicy } from './once/once-policy.ts'
export type { OnceContext } from './core/function/once-context.ts'
export type { OncePolicy } from './core/function/once-policy.ts'
export type { ErrorOutcome, ErrorOutcomes } from './core/function/error-outcome.ts'
export type { Found, FunctionProbe, ProbeFunction } from './core/function/probe-function.ts'
export type { ResultSchema, StandardSchema } from './core/function/result-schema.ts'
export { StoredError } from './core/function/stored-error.ts'
export {
  ClaimLostError,
  HapaxError,
  InProgressError,
  KeyExpiredError,
  KeyReusedError,
  OutcomeUnknownError,
  ResultNotKeptError,
} from './core/hapax-error.ts'
