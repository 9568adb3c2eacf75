/** The Durable Object bindings, with their classes and what they are for. */
export const BINDINGS = [
  { name: 'OPERATIONS', class_name: 'IdempotencyObject', what: 'guards the operations' },
  { name: 'DIRECTORY', class_name: 'DirectoryObject', what: 'lists what operators must look at' },
] as const

/** The Analytics Engine dataset. */
export const DATASET = { binding: 'METRICS', dataset: 'hapax' } as const
