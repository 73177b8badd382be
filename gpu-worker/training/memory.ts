/** The memory of this machine, and what training takes of it. */
import { totalmem } from 'node:os'
import type { LlamaConfig } from '#engine/models/config.ts'
import type { ModelShape } from '#protocol/wire.ts'

/** Bytes that the processes of this machine or container may use together. */
export const availableMemory = (): number =>
  Math.min(totalmem(), process.constrainedMemory() || Infinity)

/** What of a base decides how much memory its training takes. */
export const shapeOf = (config: LlamaConfig): ModelShape => {
  const { hidden, layers, heads, kvHeads, headDim, ffn, vocab, tied } = config
  return { hidden, layers, heads, kvHeads, headDim, ffn, vocab, tied }
}
