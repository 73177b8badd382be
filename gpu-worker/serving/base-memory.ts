/** What serving a base takes of this machine's memory, by the format of its matrices. */
import type { LlamaConfig } from '#engine/models/config.ts'
import { parameterBytes, type WeightFormat } from '#engine/quant.ts'
import { messageOf } from '#protocol/errors.ts'

/** Node and the runtime before any weight. */
const PROCESS_BYTES = 150 * 2 ** 20
/**
 * Copies of the parameters that a session leaves, as given and as the kernels want them. Resident memory of a base of 109 M
 * parameters at rest with three sessions, onnxruntime-node 1.30: 2,108 MiB in float32, 1,188 in 8 and 1,012 in 4 bits, of
 * which 414 are the float32 parameters that attribution and retrieval read.
 */
const COPIES = { f32: 1.27, int8: 1.8, int4: 2.2 } as const satisfies Record<WeightFormat, number>
/** Sessions that read prompts and decode; one more decodes where no row has an adapter. */
const SESSIONS = 2
/** Of this machine's memory: a base that takes more does without the third session. */
const ROOMY = 1 / 4

/**
 * Bytes that serving the bare base takes, before caches, adapters and gradients, and whether the session for rows without
 * adapters is among them. Throws an Error when a layer cannot be held in the format.
 */
export function servingMemory(
  config: LlamaConfig,
  format: WeightFormat,
  availableBytes: number,
): { bytes: number; withBare: boolean } {
  try {
    const bytesWith = (sessions: number): number =>
      Math.ceil(
        PROCESS_BYTES +
          parameterBytes(config, 'f32') +
          sessions * COPIES[format] * parameterBytes(config, format),
      )
    const withBare = bytesWith(SESSIONS + 1) <= ROOMY * availableBytes
    return { bytes: bytesWith(withBare ? SESSIONS + 1 : SESSIONS), withBare }
  } catch (cause) {
    throw new Error(`this base cannot be served in ${format}: ${messageOf(cause)}`, { cause })
  }
}
