import { defineConfig, type Plugin } from 'vite'

import ADMIN_OPENAPI from '../src/operators/admin-openapi.json' with { type: 'json' }

/** Writes the OpenAPI document of the admin API beside the page. The Worker serves it to operators. */
const adminDocument: Plugin = {
  name: 'admin-document',
  generateBundle() {
    const source = JSON.stringify(ADMIN_OPENAPI)
    this.emitFile({ type: 'asset', fileName: 'admin-openapi.json', source })
  },
}

/** Makes the page that the Worker serves as static assets at `/_hapax/dashboard`. */
export default defineConfig({
  root: import.meta.dirname,
  base: '/_hapax/dashboard/',
  logLevel: 'warn',
  plugins: [adminDocument],
  build: {
    outDir: '../public/_hapax/dashboard',
    emptyOutDir: true,
    // A policy that allows no inline code must be enough for the page.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
})
