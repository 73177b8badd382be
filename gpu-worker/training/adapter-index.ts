/** Builds the attribution index of a trained adapter: influence rows and spans over the same records. */
import type { Adapter } from '#engine/adapter-pack.ts'
import type { WeightFormat } from '#engine/quant.ts'
import type { SessionOptions } from '#engine/session.ts'
import type { TensorMap } from '#engine/tensor.ts'
import type { Hex } from '#protocol/bytes.ts'
import { joinSegments } from '#protocol/tokens.ts'
import { openGradients } from '../attribution/gradients.ts'
import { encodeIndex, type IndexFiles } from '../attribution/index-files.ts'
import { buildInfluenceIndex, type InfluenceStage } from '../attribution/influence-index.ts'
import { encodeSpanIndex } from '../attribution/span-files.ts'
import { buildSpanIndex } from '../attribution/span-index.ts'
import type { FormattedBase } from '../base-model.ts'
import { trainedSegments, type Example } from './examples.ts'
import { generateNullQueries } from './null-queries.ts'

export type AdapterIndex = { root: Hex; files: IndexFiles & { spans: Uint8Array } }

export type IndexJob = {
  base: FormattedBase
  adapter: Adapter
  /** The adapter at the points of its training at which gradients are taken. */
  snapshots: readonly TensorMap[]
  digest: Hex
  /** Path of a file that features wait in. */
  scratch: string
  train: readonly Example[]
  heldOut: readonly Example[]
  seed: number
  /** How the base was held in training; the gradients are taken under the same. */
  format: WeightFormat
  session: SessionOptions
  /** `done` is the share of the whole, 0 to 1. */
  onProgress: (stage: IndexStage, done: number) => void | Promise<void>
}

export type IndexStage = 'answers' | InfluenceStage | 'spans'

/** What is done, in this order, and about what part of the time it takes. */
export const INDEX_STAGES: Readonly<Record<IndexStage, { part: number; does: string }>> = {
  answers: { part: 0.06, does: 'unrelated answers, against which every score is judged' },
  fitting: { part: 0.18, does: 'gradients of a sample, and what the records share in each block' },
  gradients: { part: 0.6, does: 'gradients of the other records' },
  comparing: { part: 0.1, does: 'every record compared with the landmarks' },
  rows: { part: 0.05, does: 'damping, vectors and null scores' },
  spans: { part: 0.01, does: 'suffix array' },
}

/** Builds both indexes; row i is the i-th example of `train`. */
export async function buildAdapterIndex(job: IndexJob): Promise<AdapterIndex> {
  const { base, adapter, snapshots, digest, train, heldOut, format, session } = job
  const { scratch } = job
  const onProgress = (stage: IndexStage, done: number) =>
    job.onProgress(stage, shareOf(stage, done))
  await onProgress('answers', 0)
  const nullQueries = await generateNullQueries(job)
  await onProgress('fitting', 0)
  const source = await openGradients({ base, format, lora: adapter.lora, session })
  const segments = train.map((example) => trainedSegments(example, base.tokenizer))
  try {
    const index = await buildInfluenceIndex({
      source,
      adapter: digest,
      snapshots,
      records: train.map((example, i) => ({
        ...example.row,
        sequence: example,
        tokens: joinSegments(segments[i] ?? []),
      })),
      nullQueries,
      heldOut,
      scratch,
      onProgress,
    })
    await onProgress('spans', 0)
    const spans = buildSpanIndex(segments, base.config.vocab)
    const files = encodeIndex(index, { ...(format !== 'f32' && { format }) })
    return { root: index.root, files: { ...files, spans: encodeSpanIndex(spans) } }
  } finally {
    await source.release()
  }
}

/** The share of the whole when a stage has come so far. */
function shareOf(stage: IndexStage, done: number): number {
  const stages = Object.keys(INDEX_STAGES) as IndexStage[]
  const before = stages.slice(0, stages.indexOf(stage))
  const sum = before.reduce((share, earlier) => share + INDEX_STAGES[earlier].part, 0)
  return Math.min(1, sum + INDEX_STAGES[stage].part * done)
}
