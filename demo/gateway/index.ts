import { deployOrigins } from '../../src/config/deployed-origins.ts'
import { createWorker, passTo, protect, secret, url } from '../../src/hapax.ts'
import { app } from '../../src/routes.ts'

export { DirectoryObject, IdempotencyObject } from '../../src/hapax.ts'

// The deployment of this repository, with a second API that has a credential of its own.
deployOrigins({
  origins: {
    crm: url('CRM_URL', {
      headers: { Authorization: secret('CRM_TOKEN', { scheme: 'Bearer' }) },
      strip: '/crm',
    }),
  },
})
app.post('/crm/contacts', protect({ origin: 'crm' }))
app.all('/crm/*', passTo('crm'))

export default createWorker(app)
