/** Who asks a local engine, where nothing else is said. */
export const LOCAL_ENGINE = { accountId: '0'.repeat(32), token: 'local' } as const
