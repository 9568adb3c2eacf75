import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

import { type Browser, chromium } from 'playwright-core'

/** Where Debian and others put it. */
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** It asks nobody but the page: no update, no list of bad sites, no account. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/**
 * Starts a real Chromium without a window. Where there is none it is installed from Debian's
 * packages, which takes root; elsewhere install `chromium` yourself.
 */
export function launchBrowser(): Promise<Browser> {
  const executablePath = PLACES.find((place) => existsSync(place)) ?? install()
  return chromium.launch({ executablePath, args: QUIET })
}

function install(): string {
  const [place = ''] = PLACES
  try {
    const options = { stdio: 'ignore', timeout: 300_000 } as const
    execFileSync('apt-get', ['update'], options)
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'], options)
    return place
  } catch (cause) {
    throw new Error(`There is no Chromium at ${PLACES.join(', ')}. Install one.`, { cause })
  }
}
