import { afterEach, describe, expect, it, vi } from 'vitest'

import { analytics } from '../../../../cli/analytics.ts'
import { QUERIES } from '../../../../src/analytics/queries.ts'

afterEach(() => vi.restoreAllMocks())

describe('analytics', () => {
  it.each([
    { args: [], says: 'Which query?' },
    { args: ['toString'], says: 'There is no query toString.' },
    { args: ['sql'], says: 'sql needs a query.' },
    { args: ['operation'], says: 'operation needs an id.' },
    { args: ['summary', 'more'], says: 'more is one too many.' },
    { args: ['sql', 'SELECT 1', 'more'], says: 'more is one too many.' },
    { args: ['summary', '--since', 'soon'], says: '--since soon is not a duration' },
    { args: ['summary', '--since', '0s'], says: '--since 0s is not a duration' },
    { args: ['summary', '--dataset', 'a;b'], says: '--dataset a;b is not the name' },
    { args: ['summary', '--json', '--csv'], says: 'one or the other' },
    {
      args: ['sql', 'SELECT 1 FORMAT TabSeparated', '--csv'],
      says: 'A FORMAT and --json or --csv are one or the other',
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
