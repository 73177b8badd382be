/** A Datanet from submissions to payouts, by the product's own functions, and the same without its defences. */
import type { LoraConfig } from '#engine/models/lora.ts'
import { createMemoryIndex } from '#edge/datanets/pipeline/dedup-index.ts'
import { answerWindows } from '#edge/datanets/pipeline/candidates.ts'
import { runPipeline } from '#edge/datanets/pipeline/pipeline.ts'
import {
  attribute,
  type AttributionIndex,
  type Response,
} from '#gpu-worker/attribution/attribute.ts'
import { openFeatures } from '#gpu-worker/attribution/features.ts'
import type { GradientSource } from '#gpu-worker/attribution/gradients.ts'
import { buildSpanIndex } from '#gpu-worker/attribution/span-index.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import { canonicalRows, type TrainingRow } from '#gpu-worker/training/dataset.ts'
import { toExamples, trainedSegments, type Example } from '#gpu-worker/training/examples.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { defaultParameters } from '#protocol/parameters.ts'
import { addressOf } from '../attribution/datasets.ts'
import { buildIndex } from '../attribution/ours.ts'
import { METHOD, trainOn } from '../attribution/retraining.ts'

/** In the order in which they are handed in. */
export type Submission = { contributor: string; text: string }

/** What an account gets of one contributor pool: by attribution alone, and with its part of the base pool. */
export type Payout = { attributed: number; withBasePool: number }
/** Shares of the pool by account. */
export type PayOut = (response: Response) => Promise<Map<Hex, Payout>>

const POOL = 10n ** 18n
const SEQUENCE = 64

export type Place = {
  base: BaseModel
  source: GradientSource
  lora: LoraConfig
  others: readonly Example[]
  /** Of the training. */
  seed: number
}

/** Answers that were given once so many submissions had been handed in, and before the others. */
export type Answered = { after: number; answers: readonly Response[] }

/** What the submission pipeline accepts, one submission per run of the same contributor. */
export async function accepted(
  submissions: readonly Submission[],
  { after, answers }: Answered,
): Promise<TrainingRow[]> {
  const index = createMemoryIndex()
  const rows: TrainingRow[] = []
  for (let at = 0; at < submissions.length;) {
    if (at === after)
      for (const { text, promptText } of answers) index.addAnswer(answerWindows(text, promptText))
    const contributor = submissions[at]?.contributor ?? ''
    let end = at
    while (submissions[end]?.contributor === contributor) end++
    const { records } = await runPipeline({
      rows: submissions
        .slice(at, end)
        .map(({ text }, row) => ({ row, fields: { text }, metadata: {} })),
      contributor,
      index,
    })
    for (const { verdict, fields, recordHash, cluster, indexEntry } of records) {
      if (indexEntry) index.add(indexEntry)
      if (verdict === 'accepted' && fields && recordHash && cluster)
        rows.push({ record: recordHash, cluster, contributor: addressOf(contributor), fields })
    }
    at = end
  }
  return canonicalRows(rows)
}

/** Every submission as it is: no check, no cluster. */
export const unchecked = (submissions: readonly Submission[]): TrainingRow[] =>
  submissions.map(({ contributor, text }, i) => {
    const record = keccak(`${i} ${text}`)
    return { record, cluster: record, contributor: addressOf(contributor), fields: { text } }
  })

/** Multiplies the gradients of one account's records: what a contributor might reach by their wording. */
export type Inflation = { contributor: Hex; factor: number } | null

const inflated = (
  source: GradientSource,
  examples: readonly Example[],
  inflation: Inflation,
): GradientSource => {
  if (!inflation) return source
  const loud = new Set<ArrayLike<number>>(
    examples.filter(({ row }) => row.contributor === inflation.contributor).map((e) => e.tokens),
  )
  return {
    ...source,
    gradients: async (adapter, sequences) => {
      const gradients = await source.gradients(adapter, sequences)
      sequences.forEach(({ tokens }, i) => {
        if (!loud.has(tokens)) return
        const end = (i + 1) * source.size
        for (let j = i * source.size; j < end; j++)
          gradients[j] = (gradients[j] ?? 0) * inflation.factor
      })
      return gradients
    },
  }
}

/** Rows as they are trained on. */
export const examplesOf = (rows: readonly TrainingRow[], { tokenizer }: BaseModel): Example[] =>
  toExamples(rows, tokenizer, SEQUENCE).examples

/** Trains, indexes and pays as the product does. */
export async function ourPayouts(
  rows: readonly TrainingRow[],
  { base, source, lora, others, seed }: Place,
  inflation: Inflation = null,
): Promise<PayOut> {
  const train = examplesOf(rows, base)
  const { adapter, snapshots } = await trainOn(base, train, { ...METHOD, seed })
  const index = await buildIndex(
    base,
    inflated(source, train, inflation),
    { train, others: [...others] },
    { trained: { lora, tensors: adapter }, snapshots },
  )
  const served: AttributionIndex = {
    index: { index, features: openFeatures(source.blocks, index.features) },
    spans: buildSpanIndex(
      train.map((example) => trainedSegments(example, base.tokenizer)),
      base.config.vocab,
    ),
  }
  const values = defaultParameters()
  return async (response) => {
    const { rows: paid, unattributed } = await attribute(
      response,
      served,
      { source, tokenizer: base.tokenizer },
      { pool: POOL, values },
    )
    const payouts = new Map<Hex, Payout>()
    const add = (account: Hex, attributed: number, fromBase: number) => {
      const before = payouts.get(account) ?? { attributed: 0, withBasePool: 0 }
      payouts.set(account, {
        attributed: before.attributed + attributed,
        withBasePool: before.withBasePool + attributed + fromBase,
      })
    }
    for (const { contributor, amount } of paid) add(contributor, Number(amount) / Number(POOL), 0)
    const each = Number(unattributed) / Number(POOL) / train.length
    for (const { row } of train) add(row.contributor, 0, each)
    return payouts
  }
}

/** Trains on everything and pays by the positive part of a plain dot product of gradients: what we compare with. */
export async function plainPayouts(
  rows: readonly TrainingRow[],
  { base, source, seed }: Place,
  inflation: Inflation = null,
): Promise<PayOut> {
  const train = examplesOf(rows, base)
  const { adapter } = await trainOn(base, train, { ...METHOD, seed })
  const loud = inflated(source, train, inflation)
  const gradients: Float32Array[] = []
  for (const example of train) gradients.push(await loud.gradients(adapter, [example]))
  return async (response) => {
    const query = await source.gradients(adapter, [sequenceOf(response)])
    const scores = gradients.map((g) =>
      Math.max(
        0,
        g.reduce((n, x, i) => n + x * (query[i] ?? 0), 0),
      ),
    )
    const total = scores.reduce((a, b) => a + b, 0)
    const payouts = new Map<Hex, Payout>()
    train.forEach(({ row }, i) => {
      const share = total > 0 ? (scores[i] ?? 0) / total : 0
      const before = payouts.get(row.contributor)?.attributed ?? 0
      payouts.set(row.contributor, { attributed: before + share, withBasePool: before + share })
    })
    return payouts
  }
}

const sequenceOf = ({ prompt, tokens }: Pick<Response, 'prompt' | 'tokens'>) => ({
  tokens: [...prompt, ...tokens],
  targets: Uint8Array.from([...prompt.map(() => 0), ...tokens.map(() => 1)]),
})
