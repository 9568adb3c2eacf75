import { defineConfig } from 'vite'

/** Makes the page that the Worker serves as static assets at `/_hapax/dashboard`. */
export default defineConfig({
  root: import.meta.dirname,
  base: '/_hapax/dashboard/',
  logLevel: 'warn',
  build: {
    outDir: '../public/_hapax/dashboard',
    emptyOutDir: true,
    // A policy that allows no inline code must be enough for the page.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
})
