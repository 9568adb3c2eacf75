import { createGateway, createWorker, credential, DirectoryObject } from '../../../src/hapax.ts'
import { addRoutes } from './routes.ts'

export { IdempotencyObject } from '../../../src/hapax.ts'

/** A directory that refuses one operation, whose notice stays where it is. */
class StubbornDirectory extends DirectoryObject {
  override async list(...args: Parameters<DirectoryObject['list']>): Promise<void> {
    if (args[0].operation === 'POST /unlisted') throw new Error('It is not taken.')
    await super.list(...args)
  }
}
export { StubbornDirectory as DirectoryObject }

const app = createGateway({ tenant: credential('Authorization') })
addRoutes(app)

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app)
