/** The OpenAPI 3.1 document of the admin API. */
export function toAdminOpenApi(): object {
  return {}
}
