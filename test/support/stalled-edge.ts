import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

const HOUR_MS = 60 * 60_000

/** An edge that begins every answer and never ends it, where AbortSignal.timeout goes by the test's clock. */
export async function stalledEdge(t: TestContext) {
  t.mock.timers.enable({ apis: ['AbortSignal.timeout' as 'setTimeout'] }) // missing in the types
  const edge = createServer((_, response) => response.writeHead(200).write('{'))
  t.after(() => edge.close().closeAllConnections())
  await once(edge.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(edge.address() as AddressInfo).port}`,
    /** What becomes of a reading when an hour has passed since it asked. */
    anHourAfter: async <T>(read: () => Promise<T>): Promise<T> => {
      const asked = once(edge, 'request')
      const reading = read()
      await asked
      t.mock.timers.tick(HOUR_MS)
      return reading
    },
  }
}
