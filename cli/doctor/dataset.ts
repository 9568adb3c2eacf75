import { AnalyticsError } from '../../src/analytics/client.ts'
import { connect, toFailure } from '../analytics/connect.ts'
import { Failure } from '../failure.ts'
import type { Checked, Finding } from './finding.ts'
import type { Project } from './project.ts'

/** Asks the dataset of the deployment for one row, if the environment has credentials for it. */
export async function checkDataset(
  project: Project,
  environment: NodeJS.ProcessEnv,
): Promise<Checked> {
  const dataset = datasetOf(project)
  if (dataset === null) return unchecked('METRICS is not bound.')
  try {
    await connect(environment).query(`SELECT 1 FROM ${dataset} LIMIT 1`)
    return []
  } catch (error) {
    // There are no credentials.
    if (error instanceof Failure) return unchecked(error.message.split('\n', 1)[0] ?? '')
    if (error instanceof AnalyticsError) return [toFinding(error, dataset, environment)]
    throw error
  }
}

function datasetOf({ settings }: Project): string | null {
  const metrics = settings.analytics_engine_datasets?.find(({ binding }) => binding === 'METRICS')
  return metrics?.dataset ?? metrics?.binding ?? null
}

function toFinding(
  error: AnalyticsError,
  dataset: string,
  environment: NodeJS.ProcessEnv,
): Finding {
  const said = toFailure(error, environment).message
  return error.kind === 'no-data'
    ? {
        rule: 'dataset-empty',
        severity: 'note',
        what: `The dataset ${dataset} is empty: ${said}`,
        why: 'Cloudflare creates it with the first data point. Send a request to a protected route.',
      }
    : {
        rule: 'dataset-unreadable',
        severity: 'warning',
        what: `The dataset ${dataset} could not be read: ${said}`,
        why: 'The analytics command, the dashboard and Prometheus read this dataset.',
      }
}

const unchecked = (reason: string) => ({ check: 'dataset', reason })
