/** What every gateway must at least do: sends a request on, and its answer back. */
interface ProxyEnv {
  readonly ORIGIN_URL: string
}

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default {
  fetch(request, env) {
    const { pathname, search } = new URL(request.url)
    if (pathname === '/ready') return new Response()
    return fetch(new Request(env.ORIGIN_URL + pathname + search, request))
  },
} satisfies ExportedHandler<ProxyEnv>
