import { z } from 'zod'

const header = z.object({ __metadata__: z.record(z.string(), z.string()).default({}) })

/** The metadata of a safetensors file; throws on a malformed header. */
export function metadata(file: Uint8Array): Record<string, string> {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true))
  const json = new TextDecoder('utf-8', { fatal: true }).decode(file.subarray(8, 8 + length))
  return header.parse(JSON.parse(json)).__metadata__
}
