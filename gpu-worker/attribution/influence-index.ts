/**
 * The gradient half of attribution: which records moved the model toward a response. Every trained record is a row:
 * its whitened, projected gradient as int8. A response's own gradient, treated alike, is compared with all
 * rows by integer dot products, and each row's score is judged against what unrelated queries give it.
 */
import type { Sequence } from '#engine/batch.ts'
import type { Hex } from '#protocol/bytes.ts'
import { keccak } from '#protocol/bytes.ts'
import { influenceRowLeaf, type InfluenceRow } from '#protocol/influence-row.ts'
import { merkleTree } from '#protocol/merkle.ts'
import { dotInt8, relativeScore, significance } from '#protocol/score.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import type { GradientSource, Projected } from './gradients.ts'
import { quantize, type Quantized } from './quantize.ts'
import { fitWhitening, whiten, type WhitenedBlock } from './whitening.ts'

export type InfluenceIndex = {
  rows: InfluenceRow[]
  /** All rows' int8 vectors, one after the other. */
  vectors: Int8Array
  dims: number
  whitening: WhitenedBlock[]
  /** Merkle root over the rows; on chain. */
  root: Hex
}

/** A trained record, the tokens it was trained with, and those of them that spans are found in. */
export type IndexedRecord = {
  record: Hex
  cluster: Hex
  contributor: Hex
  sequence: Sequence
  /** Segments joined as protocol/tokens.ts does. */
  tokens: readonly number[]
}

/** An unrelated query; rows of `cluster`, if it has one, are not judged by it. */
export type NullQuery = { sequence: Sequence; cluster: Hex | null }

export type InfluenceBuild = {
  source: GradientSource
  adapter: Projected
  records: readonly IndexedRecord[]
  /** Queries that say nothing about the rows; their scores make the null distribution. */
  nullQueries: readonly NullQuery[]
  /** Share of the work done so far. */
  onProgress: (done: number) => void | Promise<void>
}

/** Damping relative to a block's mean eigenvalue; the customary default (DataInf, LogIX, Bergson). */
export const DAMPING = 0.1

/** Builds the index of an adapter. Without two null queries a row is never significant. */
export async function buildInfluenceIndex(build: InfluenceBuild): Promise<InfluenceIndex> {
  const { source, adapter, records, nullQueries, onProgress } = build
  const total = records.length + nullQueries.length
  const gradientsOf = (items: readonly { sequence: Sequence }[], before: number) =>
    source.gradients(
      adapter,
      items.map(({ sequence }) => sequence),
      (done) => onProgress((before + done) / total),
    )
  const gradients = await gradientsOf(records, 0)
  const whitening = fitWhitening(gradients, source.blocks, DAMPING)
  const compared = (gradient: Float32Array) => quantize(whiten(gradient, whitening))
  const quantized = gradients.map(compared)
  const queries = (await gradientsOf(nullQueries, records.length)).map((gradient, i) => ({
    query: compared(gradient),
    cluster: nullQueries[i]?.cluster ?? null,
  }))

  const vectors = new Int8Array(records.length * source.dims)
  const rows = records.map(({ record, cluster, contributor, tokens }, i): InfluenceRow => {
    const { values, exponent, self } = quantized[i] as Quantized
    vectors.set(values, i * source.dims)
    return {
      record,
      cluster,
      contributor,
      vectorHash: keccak(bytesOf(values)),
      exponent,
      ...nullOf({ values, exponent, self }, cluster, queries),
      self: BigInt(self),
      tokensRoot: tokensRoot(tokens),
      tokens: tokens.length,
    }
  })
  return { rows, vectors, dims: source.dims, whitening, root: indexRoot(rows) }
}

function nullOf(
  row: Quantized,
  cluster: Hex,
  queries: readonly { query: Quantized; cluster: Hex | null }[],
): { nullMean: bigint; nullDeviation: bigint } {
  const scores = queries
    .filter((candidate) => candidate.cluster !== cluster)
    .map(({ query }) => Number(scoreOf(row.values, BigInt(row.self), query)))
  if (scores.length < 2) return { nullMean: 0n, nullDeviation: 0n }
  const mean = scores.reduce((a, b) => a + b, 0) / scores.length
  const squares = scores.reduce((n, score) => n + (score - mean) ** 2, 0)
  return {
    nullMean: BigInt(Math.round(mean)),
    nullDeviation: BigInt(Math.round(Math.sqrt(squares / (scores.length - 1)))),
  }
}

const scoreOf = (values: Int8Array, self: bigint, query: Quantized): bigint =>
  relativeScore(BigInt(dotInt8(values, query.values)), self, BigInt(query.self))

/** Merkle root over the rows' leaves. */
export const indexRoot = (rows: readonly InfluenceRow[]): Hex =>
  merkleTree(rows.map(influenceRowLeaf)).root

export type RowScore = {
  row: number
  /** Relative score above the row's null mean, in units of RELATIVE_ONE. */
  influence: bigint
  /** Thousandths of a null deviation. */
  significance: bigint
}

/** A response's gradient as the index compares it. */
export const queryVector = (index: InfluenceIndex, gradient: Float32Array): Quantized =>
  quantize(whiten(gradient, index.whitening))

/** Every row's calibrated score for a query. */
export function scoreRows(index: InfluenceIndex, query: Quantized): RowScore[] {
  return index.rows.map((row, i) => {
    const values = vectorOf(index, i)
    const relative = scoreOf(values, row.self, query)
    const nullStatistics = { mean: row.nullMean, deviation: row.nullDeviation }
    return {
      row: i,
      influence: relative - row.nullMean,
      significance: significance(relative, nullStatistics),
    }
  })
}

/** The int8 vector of a row, a view. */
export const vectorOf = ({ vectors, dims }: InfluenceIndex, row: number): Int8Array =>
  vectors.subarray(row * dims, (row + 1) * dims)

export const bytesOf = (values: Int8Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
