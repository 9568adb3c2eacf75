/* oxlint-disable import/no-unassigned-import -- each module declares its tests */
// What a client gets; one gateway for all of it.
import './cases/idempotent.ts'
import './cases/concurrency.ts'
import './cases/outcomes.ts'
import './cases/contract.ts'
import './cases/fidelity.ts'
import './cases/streams.ts'
import './cases/limits.ts'
import './cases/access.ts'
