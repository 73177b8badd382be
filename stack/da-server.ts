import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { concatBytes, fromHex, keccak, toHex, type Hex } from '#protocol/bytes.ts'
import { writeFileAtomic } from './files.ts'
import { isDiskFull } from './stack-error.ts'

/**
 * The data-availability layer of the local stack: the HTTP API of the EigenDA proxy (api/proxy/servers/rest in
 * Layr-Labs/eigenda) over a folder. Its certificate is the RLP string of the blob's keccak256, so a commitment
 * proves which bytes it stands for; unlike EigenDA's it says nothing about who else keeps them.
 *
 *   POST /put?commitment_mode=standard  -> version byte, certificate
 *   POST /put                           -> 01 00, version byte, certificate (OP Stack generic commitment)
 *   POST /put/0x00<keccak>              -> OP Stack keccak commitment
 *   GET  /get/0x<commitment>[?commitment_mode=standard]
 */
const CERT_VERSION = 0x03 // EigenDA V2 with CertV4
const RLP_STRING_32 = 0xa0
const OP_GENERIC = [0x01, 0x00]
const OP_KECCAK = 0x00
const MAX_BLOB_BYTES = 16 * 2 ** 20 // EigenDA's --max-blob-length
const DERIVATION_ERROR = 418 // the proxy's answer to a commitment that no certificate can be read from

/** Starts the server on 127.0.0.1; resolves when it listens. */
export async function startDaServer(dir: string, port: number): Promise<Server> {
  mkdirSync(dir, { recursive: true })
  const server = createServer((request, response) => {
    answer(dir, request, response).catch((error: unknown) => {
      const message = isDiskFull(error) ? 'da: the disk is full' : `da: ${String(error)}`
      if (!response.headersSent) respond(response, 500, message)
      else response.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return server
}

async function answer(dir: string, request: IncomingMessage, response: ServerResponse) {
  const url = new URL(request.url ?? '/', 'http://da')
  const standard = url.searchParams.get('commitment_mode') === 'standard'
  if (request.method === 'GET' && url.pathname === '/health') return respond(response, 200, '')

  const put = /^\/put\/?(0x[0-9a-fA-F]+)?$/.exec(url.pathname)
  if (put && (request.method === 'POST' || request.method === 'PUT')) {
    const blob = await readBody(request)
    if (!blob) return respond(response, 400, `a blob has at most ${MAX_BLOB_BYTES} bytes`)
    if (blob.length === 0) return respond(response, 400, 'an empty blob cannot be stored')
    const hash = keccak(blob)
    if (put[1] && put[1].toLowerCase() !== toHex(Uint8Array.of(OP_KECCAK)) + hash.slice(2))
      return respond(response, 400, 'the commitment is not the keccak256 of the body')
    const path = join(dir, hash.slice(2))
    if (!existsSync(path)) writeFileAtomic(path, blob)
    if (put[1]) return respond(response, 200, '')
    return respond(response, 200, commitmentTo(hash, standard))
  }

  const get = /^\/get\/(?:0x)?([0-9a-fA-F]+)$/.exec(url.pathname)
  if (get?.[1] && request.method === 'GET') {
    const hash = hashIn(`0x${get[1].toLowerCase()}`, standard)
    if (!hash) return respond(response, DERIVATION_ERROR, 'not a commitment of this server')
    const path = join(dir, hash.slice(2))
    if (!existsSync(path)) return respond(response, 404, 'no blob under this commitment')
    const blob = readFileSync(path)
    if (keccak(blob) !== hash)
      return respond(response, DERIVATION_ERROR, 'the stored bytes do not match the commitment')
    return respond(response, 200, blob)
  }
  respond(response, 404, 'POST /put, GET /get/0x<commitment>, GET /health')
}

const commitmentTo = (hash: Hex, standard: boolean): Uint8Array =>
  concatBytes(
    Uint8Array.from(standard ? [] : OP_GENERIC),
    Uint8Array.of(CERT_VERSION, RLP_STRING_32),
    fromHex(hash),
  )

/** The keccak256 that a commitment names, or null when it is none of ours. */
function hashIn(commitment: Hex, standard: boolean): Hex | null {
  const certificate = toHex(Uint8Array.of(CERT_VERSION, RLP_STRING_32))
  const prefixes = standard
    ? [certificate]
    : [
        toHex(Uint8Array.from([...OP_GENERIC, CERT_VERSION, RLP_STRING_32])),
        toHex(Uint8Array.of(OP_KECCAK)),
      ]
  for (const prefix of prefixes)
    if (commitment.startsWith(prefix) && commitment.length === prefix.length + 64)
      return `0x${commitment.slice(prefix.length)}`
  return null
}

/** Whole body, or null when it is over the limit. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= MAX_BLOB_BYTES) chunks.push(chunk)
  }
  return bytes > MAX_BLOB_BYTES ? null : Buffer.concat(chunks)
}

function respond(response: ServerResponse, status: number, body: Uint8Array | string): void {
  const type = typeof body === 'string' ? 'text/plain' : 'application/octet-stream'
  response.writeHead(status, { 'content-type': type }).end(body)
}
