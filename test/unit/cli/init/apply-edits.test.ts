import { describe, expect, it } from 'vitest'

import { applyConfigEdits } from '../../../../cli/init/apply-edits.ts'
import type { ConfigEdit } from '../../../../cli/init/edit.ts'

const push = (path: string, value: unknown): ConfigEdit => ({
  kind: 'push',
  path: path.split('.'),
  value,
  why: '',
})
const set = (path: string, value: unknown): ConfigEdit => ({ ...push(path, value), kind: 'set' })

const BINDING = push('durable_objects.bindings', {
  name: 'OPERATIONS',
  class_name: 'IdempotencyObject',
})
const MIGRATION = push('migrations', { tag: 'v2', new_sqlite_classes: ['A', 'B'] })
const FLAG = push('compatibility_flags', 'nodejs_compat')
const EXPORT = set('exports.A', { type: 'durable-object', storage: 'sqlite' })

describe('applyConfigEdits', () => {
  describe('in TOML', () => {
    it.each([
      {
        name: 'appends sections',
        edits: [BINDING, EXPORT, MIGRATION],
        before: `# My shop
name = "shop" # keep

# Variables
[vars]
A = "1"
`,
        after: `# My shop
name = "shop" # keep

# Variables
[vars]
A = "1"

[[durable_objects.bindings]]
name = "OPERATIONS"
class_name = "IdempotencyObject"

[exports.A]
type = "durable-object"
storage = "sqlite"

[[migrations]]
tag = "v2"
new_sqlite_classes = ["A", "B"]
`,
      },
      {
        name: 'adds to sections of the same name',
        edits: [BINDING, MIGRATION],
        before: `[[durable_objects.bindings]] # rooms
name = "ROOM"
class_name = "Room"

[[migrations]]
tag = "v1"
new_sqlite_classes = ["Room"]

# Last
[observability]
enabled = true
`,
        after: `[[durable_objects.bindings]] # rooms
name = "ROOM"
class_name = "Room"

[[durable_objects.bindings]]
name = "OPERATIONS"
class_name = "IdempotencyObject"

[[migrations]]
tag = "v1"
new_sqlite_classes = ["Room"]

[[migrations]]
tag = "v2"
new_sqlite_classes = ["A", "B"]

# Last
[observability]
enabled = true
`,
      },
      {
        name: 'adds to an array in one line',
        edits: [BINDING],
        before: 'durable_objects.bindings = [{ name = "ROOM", class_name = "Room" }] # rooms\n',
        after:
          'durable_objects.bindings = [{ name = "ROOM", class_name = "Room" }, { name = "OPERATIONS", class_name = "IdempotencyObject" }] # rooms\n',
      },
      {
        name: 'adds to an array in several lines',
        edits: [BINDING],
        before: `[durable_objects]
bindings = [
  { name = "ROOM", class_name = "Room" }, # rooms
]
`,
        after: `[durable_objects]
bindings = [
  { name = "ROOM", class_name = "Room" }, # rooms
  { name = "OPERATIONS", class_name = "IdempotencyObject" },
]
`,
      },
      {
        name: 'adds to an inline table without the field',
        edits: [BINDING],
        before: 'durable_objects = { code_update_strategy = { mode = "deferred" } }\n',
        after:
          'durable_objects = { code_update_strategy = { mode = "deferred" }, bindings = [ { name = "OPERATIONS", class_name = "IdempotencyObject" } ] }\n',
      },
      {
        name: 'inserts a line after the date',
        edits: [FLAG],
        before:
          'name = "a"\r\ncompatibility_date = "2026-01-01" # old\r\n# Variables\r\n[vars]\r\n',
        after:
          'name = "a"\r\ncompatibility_date = "2026-01-01" # old\r\ncompatibility_flags = ["nodejs_compat"]\r\n# Variables\r\n[vars]\r\n',
      },
      {
        name: 'inserts a line without a neighbour',
        edits: [FLAG],
        before: '[vars]\ncompatibility_date = "1"\n',
        after: 'compatibility_flags = ["nodejs_compat"]\n[vars]\ncompatibility_date = "1"\n',
      },
      {
        name: 'is not misled by a text of several lines',
        edits: [FLAG],
        before: 'tsconfig = """\nname = "no"\n"""\nmain = "a.ts"\n',
        after:
          'tsconfig = """\nname = "no"\n"""\nmain = "a.ts"\ncompatibility_flags = ["nodejs_compat"]\n',
      },
      {
        name: 'replaces a value',
        edits: [set('main', 'b.ts')],
        before: 'main = "a.ts" # the entry\n',
        after: 'main = "b.ts" # the entry\n',
      },
      {
        name: 'adds to named environments',
        edits: [push('env.my env.analytics_engine_datasets', { binding: 'METRICS' })],
        before: '[env."my env"]\nname = "x"\n\n[env."my env".vars]\nA = "1"\n',
        after:
          '[env."my env"]\nname = "x"\n\n[env."my env".vars]\nA = "1"\n\n[[env."my env".analytics_engine_datasets]]\nbinding = "METRICS"\n',
      },
    ])('$name', ({ edits, before, after }) => {
      expect(applyConfigEdits(before, 'wrangler.toml', edits)).toBe(after)
    })
  })

  describe('in JSON with comments', () => {
    it.each([
      {
        name: 'adds fields',
        edits: [BINDING, MIGRATION, FLAG, EXPORT],
        before: `{
  // My shop
  "name": "shop", // keep
  "vars": { "A": "1" } // last
  // end
}
`,
        after: `{
  // My shop
  "name": "shop", // keep
  "vars": { "A": "1" }, // last
  "durable_objects": {
    "bindings": [{ "name": "OPERATIONS", "class_name": "IdempotencyObject" }]
  },
  "migrations": [{ "tag": "v2", "new_sqlite_classes": ["A", "B"] }],
  "compatibility_flags": ["nodejs_compat"],
  "exports": { "A": { "type": "durable-object", "storage": "sqlite" } }
  // end
}
`,
      },
      {
        name: 'keeps trailing commas, tabs and comments behind a member',
        edits: [BINDING, MIGRATION],
        before: `{
\t"durable_objects": {
\t\t"bindings": [
\t\t\t{ "name": "ROOM", "class_name": "Room" }, // rooms
\t\t],
\t}, /* objects */
}
`,
        after: `{
\t"durable_objects": {
\t\t"bindings": [
\t\t\t{ "name": "ROOM", "class_name": "Room" }, // rooms
\t\t\t{ "name": "OPERATIONS", "class_name": "IdempotencyObject" },
\t\t],
\t}, /* objects */
\t"migrations": [{ "tag": "v2", "new_sqlite_classes": ["A", "B"] }],
}
`,
      },
      {
        name: 'adds to containers in one line',
        edits: [BINDING],
        before:
          '{\n  "durable_objects": { "bindings": [{ "name": "R", "class_name": "R" }] },\n}\n',
        after:
          '{\n  "durable_objects": { "bindings": [{ "name": "R", "class_name": "R" }, { "name": "OPERATIONS", "class_name": "IdempotencyObject" }] },\n}\n',
      },
      {
        name: 'adds to empty containers',
        edits: [BINDING],
        before: '{\n  "durable_objects": { "bindings": [] }\n}\n',
        after:
          '{\n  "durable_objects": { "bindings": [\n    { "name": "OPERATIONS", "class_name": "IdempotencyObject" }\n  ] }\n}\n',
      },
      {
        name: 'adds to a document in one line',
        edits: [FLAG],
        before: '{"name":"shop"}',
        after: '{"name":"shop", "compatibility_flags": ["nodejs_compat"]}',
      },
      {
        name: 'does not write into a comment that goes on',
        edits: [FLAG],
        before: '{\n  "name": "shop" /* a\n  shop */\n}\n',
        after:
          '{\n  "name": "shop",\n  "compatibility_flags": ["nodejs_compat"] /* a\n  shop */\n}\n',
      },
      {
        name: 'replaces a value',
        edits: [set('main', 'b.ts')],
        before: '{ "main": "a.ts" /* the entry */ }',
        after: '{ "main": "b.ts" /* the entry */ }',
      },
    ])('$name', ({ edits, before, after }) => {
      expect(applyConfigEdits(before, 'wrangler.jsonc', edits)).toBe(after)
    })
  })

  it('refuses a change that it cannot make', () => {
    expect(() =>
      applyConfigEdits('{ "name": "a", "name": "b" }', 'wrangler.json', [set('name', 'c')]),
    ).toThrow('wrangler.json could not be changed at name without changing other fields.')
  })
})
