import { readFileSync } from 'node:fs'

import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

import manifest from '../../../package.json' with { type: 'json' }

interface Workflow {
  readonly on: { readonly push: { readonly tags: readonly string[] } }
  readonly permissions: Readonly<Record<string, string>>
  readonly jobs: Readonly<Record<string, Job>>
}

interface Job {
  readonly permissions: Readonly<Record<string, string>>
  readonly steps: readonly { readonly uses?: string; readonly run?: string }[]
}

describe('the workflow that publishes', () => {
  const workflow: Workflow = parse(readFileSync('.github/workflows/publish.yml', 'utf8'))
  const steps = workflow.jobs['publish']?.steps ?? []

  it('runs on version tags only, and may write nothing but an identity', () => {
    expect(workflow.on).toEqual({ push: { tags: ['v*'] } })
    expect(workflow.permissions).toEqual({ contents: 'read' })
    expect(workflow.jobs['publish']?.permissions).toEqual({
      contents: 'read',
      'id-token': 'write',
    })
  })

  it('names the commit of each action, because a tag can be moved', () => {
    const actions = steps.flatMap(({ uses }) => uses ?? [])
    expect(actions).not.toEqual([])
    for (const action of actions) expect(action).toMatch(/@[0-9a-f]{40}$/)
  })

  it('compares the tag with the version and checks everything before it publishes', () => {
    const commands = steps.flatMap(({ run }) => run ?? [])
    expect(commands).toEqual([
      expect.stringContaining('"v$(node -p'),
      '.ci/run',
      'npm publish --provenance --access public',
    ])
  })
})

it('the package may be published, and says where it comes from', () => {
  expect(manifest).not.toHaveProperty('private')
  expect(manifest.repository.url).toMatch(/^git\+https:\/\/.*\.git$/)
})
