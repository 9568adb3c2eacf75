import { deployedPlacement } from '../config/deployed-placement.ts'
import type { HapaxEnv, ObjectNamespace } from '../config/env.ts'
import { requireBinding } from '../config/required-bindings.ts'
import type { OperationGuard } from '../core/operation/operation-guard.ts'
import {
  type DeployedPlacement,
  isShard,
  type JurisdictionName,
} from '../core/operation/placement.ts'

/** The jurisdiction of an object; `null`: it is anywhere. */
export type Jurisdiction = DeployedPlacement['jurisdiction']

/** Finds an object that guards operations, by its name. @throws {ConfigurationFault} Without the binding. */
export function guardNamed(
  env: Pick<HapaxEnv, 'OPERATIONS'>,
  { placement, jurisdiction }: DeployedPlacement,
  name: string,
): OperationGuard {
  const namespace = within(requireBinding(env, 'OPERATIONS'), jurisdiction)
  const hint = isShard(name) && placement.kind === 'sharded' ? placement.locationHint : null
  const object =
    hint === null ? namespace.getByName(name) : namespace.getByName(name, { locationHint: hint })
  return object as OperationGuard
}

/** The objects of a namespace that are in a jurisdiction. */
export function within(namespace: ObjectNamespace, jurisdiction: Jurisdiction): ObjectNamespace {
  if (jurisdiction === null) return namespace
  try {
    return namespace.jurisdiction(jurisdiction)
  } catch (error) {
    // Local development has only one place, and says so. Elsewhere this message does not exist.
    const isLocal = error instanceof Error && error.message.includes('not implemented in workerd')
    if (isLocal) return namespace
    throw error
  }
}

/**
 * The placement as an object sees it. It may run without a gateway beside it, but objects that it asks
 * are always in its own jurisdiction.
 */
export function placementBeside({ jurisdiction }: DurableObjectId): DeployedPlacement {
  const deployed = deployedPlacement()
  return jurisdiction === undefined
    ? deployed
    : { ...deployed, jurisdiction: jurisdiction as JurisdictionName }
}
