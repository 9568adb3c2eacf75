/** Names of the policies of `routes.ts`. An account has the name of its policy. */
export type Account = 'default' | 'impatient' | 'probing' | 'retrying'
