import type { AnalyticsEngine } from '../dev/analytics-engine.ts'

/** Variables of a Worker that sends its points to a local engine, and asks it for them. */
export function analyticsVars({ url, accountId, token }: AnalyticsEngine): Record<string, string> {
  return {
    HAPAX_POINTS_URL: `${url}/points`,
    HAPAX_ANALYTICS_URL: url,
    CLOUDFLARE_ACCOUNT_ID: accountId,
    CLOUDFLARE_API_TOKEN: token,
  }
}
