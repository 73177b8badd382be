/** What serving a base takes of this machine's memory, by the format of its matrices. */
import type { LlamaConfig } from '#engine/models/config.ts'
import { parameterBytes, type WeightFormat } from '#engine/quant.ts'

/** Node and the runtime before any weight. */
const PROCESS_BYTES = 150 * 2 ** 20
/**
 * Copies of the parameters that reading prompts and decoding leave, as given and as the kernels want them. Resident memory
 * of a base of 109 M parameters at rest, 2 threads, onnxruntime-node 1.30: 1,641 MiB in float32, 1,185 in 8 and 971 in
 * 4 bits, of which 414 are the float32 parameters that attribution and retrieval read.
 */
const COPIES = { f32: 2.6, int8: 5.1, int4: 5.6 } as const satisfies Record<WeightFormat, number>

/**
 * Bytes that serving the bare base takes, before caches, adapters and gradients. Throws an Error when a layer cannot be
 * held in the format.
 */
export function servingMemory(config: LlamaConfig, format: WeightFormat): number {
  try {
    const copies = COPIES[format] * parameterBytes(config, format)
    return Math.ceil(PROCESS_BYTES + parameterBytes(config, 'f32') + copies)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`this base cannot be served in ${format}: ${why}`, { cause })
  }
}
