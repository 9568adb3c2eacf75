import type { DeployedPlacement } from '../core/operation/placement.ts'
import { checkPlacement, perKey, type PlacementOptions } from './placement.ts'

/** As the gateways of the deployment that runs say. */
let deployed: PlacementOptions = {}

/**
 * Makes known where all objects of this deployment are. A gateway that does not say so has the
 * placement of the others: a consumer of messages has a gateway of its own.
 *
 * @throws {TypeError} When an option is invalid, or another gateway of this Worker says otherwise.
 */
export function deployPlacement(options: PlacementOptions): void {
  checkPlacement(options)
  const { placement = deployed.placement, jurisdiction = deployed.jurisdiction } = options
  if (differs(deployed.placement, placement) || differs(deployed.jurisdiction, jurisdiction)) {
    throw new TypeError('All gateways of a Worker have one placement and one jurisdiction.')
  }
  deployed = { ...(placement && { placement }), ...(jurisdiction && { jurisdiction }) }
}

const differs = (before: unknown, now: unknown) =>
  before !== undefined && JSON.stringify(before) !== JSON.stringify(now)

const PER_KEY = perKey()

/** Where the objects of this deployment are. */
export function deployedPlacement(): DeployedPlacement {
  const { placement = PER_KEY, jurisdiction = null } = deployed
  return { placement, jurisdiction }
}
