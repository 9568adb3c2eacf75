import { afterEach, describe, expect, it, vi } from 'vitest'

import { analytics } from '../../../../cli/analytics.ts'
import { QUERIES } from '../../../../src/analytics/queries.ts'

afterEach(() => vi.restoreAllMocks())

describe('analytics', () => {
  it.each([
    { args: [], says: 'Specify a query.' },
    { args: ['toString'], says: 'Unknown query: toString.' },
    { args: ['sql'], says: 'sql requires a query.' },
    { args: ['operation'], says: 'operation requires an id.' },
    { args: ['summary', 'more'], says: 'Unexpected argument: more.' },
    { args: ['sql', 'SELECT 1', 'more'], says: 'Unexpected argument: more.' },
    {
      args: ['summary', '--since', 'soon'],
      says: '--since must be a duration such as 1h, 24h or 7d, not soon.',
    },
    {
      args: ['summary', '--since', '0s'],
      says: '--since must be a duration such as 1h, 24h or 7d, not 0s.',
    },
    {
      args: ['summary', '--dataset', 'a;b'],
      says: '--dataset must be the name of a dataset, not a;b.',
    },
    { args: ['summary', '--json', '--csv'], says: '--json and --csv cannot be combined.' },
    {
      args: ['sql', 'SELECT 1 FORMAT TabSeparated', '--csv'],
      says: 'A query with a FORMAT cannot be combined with --json or --csv',
    },
    { args: ['summary', '--nonsense'], says: "Unknown option '--nonsense'" },
  ])('says what is wrong with $args, and how it is right', async ({ args, says }) => {
    await expect(analytics(args)).rejects.toMatchObject({
      name: 'Failure',
      exitCode: 2,
      message: expect.stringMatching(/Usage: hapax analytics/) as string,
    })
    await expect(analytics(args)).rejects.toThrow(says)
  })

  it('helps with every query', async () => {
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    await analytics(['--help'])
    const help = String(write.mock.calls[0]?.[0])
    for (const name of Object.keys(QUERIES)) expect(help).toMatch(new RegExp(`^  ${name} `, 'm'))
  })
})
