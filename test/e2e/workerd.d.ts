/** The package has no declarations of its own. */
declare module 'workerd' {
  /** Path of the binary for this machine. */
  const path: string
  export default path
}
