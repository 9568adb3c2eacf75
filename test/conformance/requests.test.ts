/* oxlint-disable import/no-unassigned-import -- each module declares its tests */
// What a request may be and what the origin gets of it; one gateway for all of it.
import './cases/key.ts'
import './cases/tenants.ts'
import './cases/fingerprint.ts'
import './cases/origin.ts'
import './cases/passthrough.ts'
