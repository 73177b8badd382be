/** Builds the attribution index of a trained adapter: influence rows and spans over the same records. */
import type { Adapter } from '#engine/adapter-pack.ts'
import type { WeightFormat } from '#engine/quant.ts'
import type { SessionOptions } from '#engine/session.ts'
import type { Hex } from '#protocol/bytes.ts'
import { MAX_DIMENSIONS } from '#protocol/influence-row.ts'
import { joinSegments } from '#protocol/tokens.ts'
import { openGradients, projectionsOf } from '../attribution/gradients.ts'
import { encodeIndex, type IndexFiles } from '../attribution/index-files.ts'
import { buildInfluenceIndex } from '../attribution/influence-index.ts'
import { encodeSpanIndex } from '../attribution/span-files.ts'
import { buildSpanIndex } from '../attribution/span-index.ts'
import type { BaseModel } from '../base-model.ts'
import { inFormat } from './base-format.ts'
import { trainedSegments, type Example } from './examples.ts'
import { generateNullQueries } from './null-queries.ts'

const [LEAST_PROJECTED, MOST_PROJECTED] = [1, 16]

export type AdapterIndex = { root: Hex; files: IndexFiles & { spans: Uint8Array } }

export type IndexJob = {
  base: BaseModel
  adapter: Adapter
  digest: Hex
  train: readonly Example[]
  heldOut: readonly Example[]
  seed: number
  /** How the base was held in training; the gradients are taken under the same. */
  format: WeightFormat
  session: SessionOptions
  onProgress: (done: number) => void | Promise<void>
}

/** Columns kept of every gradient matrix, so that the total is near MAX_DIMENSIONS. */
export function projectedColumns(base: Pick<BaseModel, 'config'>, { lora }: Adapter): number {
  const matrices = 2 * base.config.layers * lora.targets.length
  const columns = Math.floor(MAX_DIMENSIONS / (matrices * lora.rank))
  return Math.max(LEAST_PROJECTED, Math.min(MOST_PROJECTED, columns))
}

/** Builds both indexes; row i is the i-th example of `train`. */
export async function buildAdapterIndex(job: IndexJob): Promise<AdapterIndex> {
  const { base, adapter, digest, train, format, session, onProgress } = job
  const projected = projectedColumns(base, adapter)
  const nullQueries = await generateNullQueries(job)
  const source = await openGradients({
    config: base.config,
    parameters: inFormat(base, format),
    format,
    lora: adapter.lora,
    projected,
    session,
  })
  const segments = train.map((example) => trainedSegments(example, base.tokenizer))
  try {
    const projections = projectionsOf(source.blocks, digest)
    const index = await buildInfluenceIndex({
      source,
      adapter: { tensors: adapter.tensors, projections },
      records: train.map((example, i) => ({
        ...example.row,
        sequence: example,
        tokens: joinSegments(segments[i] ?? []),
      })),
      nullQueries,
      onProgress,
    })
    const spans = buildSpanIndex(segments, base.config.vocab)
    const files = encodeIndex(index, source.blocks, {
      adapter: digest,
      projected,
      ...(format !== 'f32' && { format }),
    })
    return { root: index.root, files: { ...files, spans: encodeSpanIndex(spans) } }
  } finally {
    await source.release()
  }
}
