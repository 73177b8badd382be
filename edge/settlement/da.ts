import { fromHex, keccak, toHex, type Hex } from '#protocol/bytes.ts'

/**
 * Client of the EigenDA proxy's HTTP API (github.com/Layr-Labs/eigenda, api/proxy): `POST /put` answers with the
 * serialized certificate, called commitment here, and `GET /get/0x<commitment>` with the bytes. The proxy answers
 * 503 when EigenDA cannot take the blob now ("failover"); whoever calls keeps the bytes and tries again.
 */

const PUT_TIMEOUT_MS = 120_000 // dispersal waits for confirmation on the L1
const GET_TIMEOUT_MS = 30_000
const MAX_COMMITMENT_BYTES = 16_384 // it travels in calldata

/** Stores bytes and reads them back; returns the commitment. Throws when either fails: the caller retries. */
export async function putData(daUrl: string, bytes: Uint8Array): Promise<Hex> {
  const response = await fetch(`${daUrl}/put?commitment_mode=standard`, {
    method: 'POST',
    body: bytes,
    headers: { 'content-type': 'application/octet-stream' },
    signal: AbortSignal.timeout(PUT_TIMEOUT_MS),
  })
  if (!response.ok) throw await daError('put', response)
  const commitment = new Uint8Array(await response.arrayBuffer())
  if (commitment.length === 0 || commitment.length > MAX_COMMITMENT_BYTES)
    throw new Error(`DA put: a commitment of ${commitment.length} bytes`)
  const kept = await getData(daUrl, toHex(commitment))
  if (keccak(kept) !== keccak(bytes)) throw new Error('DA put: other bytes came back')
  return toHex(commitment)
}

/** Bytes behind a commitment. */
export async function getData(daUrl: string, commitment: Hex): Promise<Uint8Array> {
  const response = await fetch(
    `${daUrl}/get/${toHex(fromHex(commitment))}?commitment_mode=standard`,
    {
      signal: AbortSignal.timeout(GET_TIMEOUT_MS),
    },
  )
  if (!response.ok) throw await daError('get', response)
  return new Uint8Array(await response.arrayBuffer())
}

async function daError(call: string, response: Response): Promise<Error> {
  const text = (await response.text()).slice(0, 200)
  return new Error(`DA ${call}: ${response.status}${text && ` ${text}`}`)
}
