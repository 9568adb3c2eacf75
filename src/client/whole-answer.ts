/**
 * Reads an answer to its end, so that one that breaks off is no answer: nobody knows then whether it is
 * true what its headers say. Events come as they are sent.
 */
export async function readWhole(response: Response): Promise<Response> {
  const type = response.headers.get('Content-Type') ?? ''
  // A copy is read, because only the answer itself knows its URL.
  if (response.body && !type.startsWith('text/event-stream')) await response.clone().arrayBuffer()
  return response
}
