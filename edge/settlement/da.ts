import { fromHex, keccak, toHex, type Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import { log } from '../log.ts'

/**
 * Client of the EigenDA proxy's HTTP API (github.com/Layr-Labs/eigenda, api/proxy): `POST /put` answers with the
 * serialized certificate, called commitment here, and `GET /get/0x<commitment>` with the bytes. The proxy answers
 * 503 when EigenDA cannot take the blob now, and means: go to another one.
 */

const PUT_TIMEOUT_MS = 120_000 // dispersal waits for confirmation on the L1
const GET_TIMEOUT_MS = 30_000
const MAX_COMMITMENT_BYTES = 16_384 // it travels in calldata

/** Proxies to ask, the preferred one first; the later ones are for when it is away or full. */
export type DaUrls = readonly string[]

/**
 * Stores bytes and reads them back from where they were stored; returns the commitment. A proxy that cannot be reached,
 * times out or answers 5xx is passed over for the next. Throws when all fail: the caller keeps the bytes and retries.
 */
export const putData = (urls: DaUrls, bytes: Uint8Array): Promise<Hex> =>
  firstOf(urls, async (url) => {
    const response = await fetch(`${url}/put?commitment_mode=standard`, {
      method: 'POST',
      body: bytes,
      headers: { 'content-type': 'application/octet-stream' },
      signal: AbortSignal.timeout(PUT_TIMEOUT_MS),
    })
    if (!response.ok) throw await daError('put', response)
    const commitment = new Uint8Array(await response.arrayBuffer())
    if (commitment.length === 0 || commitment.length > MAX_COMMITMENT_BYTES)
      throw new Error(`DA put: a commitment of ${commitment.length} bytes`)
    const kept = await getFrom(url, toHex(commitment))
    if (keccak(kept) !== keccak(bytes)) throw new Error('DA put: other bytes came back')
    return toHex(commitment)
  })

/** Bytes behind a commitment; throws when no proxy has them. */
export const getData = (urls: DaUrls, commitment: Hex): Promise<Uint8Array> =>
  firstOf(urls, (url) => getFrom(url, commitment))

async function getFrom(url: string, commitment: Hex): Promise<Uint8Array> {
  const response = await fetch(
    `${url}/get/${toHex(fromHex(commitment))}?commitment_mode=standard`,
    { signal: AbortSignal.timeout(GET_TIMEOUT_MS) },
  )
  if (!response.ok) throw await daError('get', response)
  return new Uint8Array(await response.arrayBuffer())
}

/** What the first proxy that succeeds answers; throws what each of them said when none does. */
async function firstOf<T>(urls: DaUrls, call: (url: string) => Promise<T>): Promise<T> {
  const failures: unknown[] = []
  for (const url of urls)
    try {
      return await call(url)
    } catch (error) {
      log('warn', { during: 'da', url, error })
      failures.push(error)
    }
  const said = failures.map((error) => messageOf(error))
  throw new AggregateError(failures, said.join('; '))
}

async function daError(call: string, response: Response): Promise<Error> {
  const text = (await response.text()).slice(0, 200)
  return new Error(`DA ${call}: ${response.status}${text && ` ${text}`}`)
}
