/** As the gateways of the deployment that runs say. */
let isOn = true

/** Makes known whether this deployment writes data points. A gateway that does not say so leaves it as it is. */
export function deployMetrics({ metrics = isOn }: { readonly metrics?: boolean }): void {
  isOn = metrics
}

/** Whether this deployment writes data points. */
export const hasMetrics = (): boolean => isOn
