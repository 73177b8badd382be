import { z } from 'zod'
import { bytes32 } from './wire.ts'

/**
 * Forms in which an adapter may be downloaded: PEFT's files, the base model with the adapter merged in, or a GGUF
 * adapter for llama.cpp. Each is a zip that holds the model card too.
 */
export const EXPORT_FORMATS = ['peft', 'merged', 'gguf'] as const
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** edge -> gpu-worker: make a zip that needs the base model. The files are in the store. */
export const exportRequest = z.object({
  base: bytes32,
  adapter: z.object({ digest: bytes32, weights: bytes32, config: bytes32 }),
  format: z.enum(['merged', 'gguf']),
  /** README.md of the zip. */
  card: z.string().max(100_000),
})
export type ExportRequest = z.infer<typeof exportRequest>
