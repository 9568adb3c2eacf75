import { isSignedIn, signIn, signOut } from './api.ts'
import { element } from './page.ts'

const button = element('session', HTMLButtonElement)
const dialog = element('sign-in', HTMLDialogElement)
const token = element('token', HTMLInputElement)
const error = element('sign-in-error', HTMLParagraphElement)

let isDismissed = false

/** Lets the reader sign in and out, and says when somebody has signed in. */
export function startSession(signedIn: () => void): void {
  button.addEventListener('click', () => {
    if (!isSignedIn()) return open()
    signOut()
    // Removes all figures from the page.
    location.reload()
  })
  dialog.addEventListener('close', () => {
    isDismissed = token.value === ''
    if (isDismissed) return
    signIn(token.value)
    token.value = ''
    signedIn()
  })
}

/** Shows that the figures may be read: with a token, or through Cloudflare Access without one. */
export function showSignedIn(): void {
  button.textContent = 'Sign out'
  button.hidden = !isSignedIn()
}

/** Asks for a token; not again of itself once the reader has put the question away. */
export function askToSignIn(): void {
  error.textContent = isSignedIn() ? 'This token was rejected.' : ''
  signOut()
  button.textContent = 'Sign in'
  button.hidden = false
  if (!isDismissed) open()
}

/** Whether it is the reader's turn. */
export function isAsking(): boolean {
  return dialog.open || isDismissed
}

function open(): void {
  if (!dialog.open) dialog.showModal()
}
