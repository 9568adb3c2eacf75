/**
 * Something that the deployment lacks: no retry fixes it, its operator does. Its message is shown to
 * clients, so it names things and never contains a value.
 */
export class ConfigurationFault extends Error {
  override readonly name = 'ConfigurationFault'
}
