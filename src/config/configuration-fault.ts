/** Something that the deployment lacks: no retry mends it, its operator does. */
export class ConfigurationFault extends Error {
  override readonly name = 'ConfigurationFault'
}
