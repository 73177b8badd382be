import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * What happens to a request: it passes; never reaches the server; reaches it but the answer is lost; or is answered
 * with a status, and a body, in the server's place.
 */
export type Fault = 'pass' | 'lose-request' | 'lose-answer' | { status: number; body?: string }

type Decide = (path: string, body: string) => Fault | Promise<Fault>

export type Proxy = {
  url: string
  /** Decides for every request, which waits for it; `pass` for all at first. */
  fault: (decide: Decide) => void
  /** Requests that reached the server. */
  passed: { path: string; body: string }[]
  stop: () => Promise<void>
}

/** A server in front of an HTTP server of the outside world that loses what a test says it loses. */
export async function startProxy(target: string): Promise<Proxy> {
  let decide: Decide = pass
  const passed: Proxy['passed'] = []
  const server = createServer(async (request, response) => {
    const bytes = await read(request)
    const [path, body] = [request.url ?? '/', bytes.toString('latin1')]
    const fault = await decide(path, body)
    if (typeof fault === 'object')
      return void response.writeHead(fault.status).end(fault.body ?? 'fault')
    if (fault === 'lose-request') return void request.socket.destroy()
    passed.push({ path, body })
    try {
      const answer = await fetch(target + path, {
        method: request.method ?? 'GET',
        headers: { 'content-type': request.headers['content-type'] ?? 'application/json' },
        ...(request.method !== 'GET' && { body: new Uint8Array(bytes) }),
      })
      const answered = Buffer.from(await answer.arrayBuffer())
      if (fault === 'lose-answer') return void request.socket.destroy()
      response.writeHead(answer.status, {
        'content-type': answer.headers.get('content-type') ?? 'application/json',
      })
      response.end(answered)
    } catch {
      request.socket.destroy()
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    fault: (next) => (decide = next),
    passed,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const pass = (): Fault => 'pass'

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}
