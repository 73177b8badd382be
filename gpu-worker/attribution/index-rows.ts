/** The part of an influence index that is compared: its committed rows with their int8 vectors, and the scan over them. */
import { keccak, type Hex } from '#protocol/bytes.ts'
import { influenceRowLeaf, type InfluenceRow } from '#protocol/influence-row.ts'
import { merkleTree } from '#protocol/merkle.ts'
import { RELATIVE_ONE } from '#protocol/score.ts'
import type { Quantized } from './quantize.ts'
import { vectorTable, type VectorTable } from './vector-table.ts'

export type ComparedRows = {
  rows: InfluenceRow[]
  /** All rows' int8 vectors. */
  vectors: VectorTable
  /** The rows' integers as float64, [rows]: the scan reads a million at a time. */
  numbers: { self: Float64Array; mean: Float64Array; deviation: Float64Array }
  /** Merkle root over the rows; on chain. */
  root: Hex
}

export type RowScore = {
  row: number
  /** Relative score above the row's null mean, in units of RELATIVE_ONE. */
  influence: bigint
  /** Thousandths of a null deviation. */
  significance: bigint
}

/** Puts rows and their vectors, one after the other in `vectors`, together; their root is computed unless it is known. */
export function comparedRows(
  rows: InfluenceRow[],
  vectors: Int8Array,
  dims: number,
  root: Hex = indexRoot(rows),
): ComparedRows {
  const numbers = (of: (row: InfluenceRow) => bigint) =>
    Float64Array.from(rows, (row) => Number(of(row)))
  return {
    rows,
    vectors: vectorTable(vectors, dims),
    numbers: {
      self: numbers((row) => row.self),
      mean: numbers((row) => row.nullMean),
      deviation: numbers((row) => row.nullDeviation),
    },
    root,
  }
}

/** Merkle root over the rows' leaves. */
export const indexRoot = (rows: readonly InfluenceRow[]): Hex =>
  merkleTree(rows.map(influenceRowLeaf)).root

const ONE = Number(RELATIVE_ONE)

/**
 * `relativeScore` of protocol/score.ts in float64. It is exact: with at most 2^11 dimensions the product of two squared
 * norms is below 2^50, and quotients differ from whole numbers by more than the rounding.
 */
export function relativeNumber(dot: number, self: number, querySelf: number): number {
  const norm = Math.floor(Math.sqrt(self * querySelf))
  return norm === 0 ? 0 : Math.trunc((dot * ONE) / norm)
}

/** Calibrated scores of the rows that `keep` wants, all unless it is given; the integers of protocol/score.ts. */
export function scoreRows(
  { vectors, numbers: { self, mean, deviation } }: Pick<ComparedRows, 'vectors' | 'numbers'>,
  query: Pick<Quantized, 'values' | 'self'>,
  keep: (influence: number, significance: number, row: number) => boolean = () => true,
): RowScore[] {
  const dots = vectors.dots(query.values)
  const kept: RowScore[] = []
  for (let row = 0; row < dots.length; row++) {
    const relative = relativeNumber(dots[row] as number, self[row] as number, query.self)
    const influence = relative - (mean[row] as number)
    const spread = deviation[row] as number
    const significance = spread === 0 ? 0 : Math.trunc((influence * 1000) / spread)
    if (keep(influence, significance, row))
      kept.push({ row, influence: BigInt(influence), significance: BigInt(significance) })
  }
  return kept
}

export type NullStatistics = { nullMean: bigint; nullDeviation: bigint }

/**
 * Null statistics of rows from their relative scores under unrelated queries. The mean is that of all rows: a row that helps
 * every answer a little does so truly, and retraining without it shows it. But its deviation is taken about that mean, so
 * that what it adds to every answer is no evidence for any one of them. Rows with fewer than two scores have none.
 */
export function nullStatistics(scores: readonly (readonly number[])[]): NullStatistics[] {
  let sum = 0
  let count = 0
  for (const own of scores) {
    for (const score of own) sum += score
    count += own.length
  }
  const mean = count === 0 ? 0 : Math.round(sum / count)
  return scores.map((own) => {
    if (own.length < 2) return { nullMean: 0n, nullDeviation: 0n }
    const squares = own.reduce((n, score) => n + (score - mean) ** 2, 0)
    return {
      nullMean: BigInt(mean),
      nullDeviation: BigInt(Math.round(Math.sqrt(squares / (own.length - 1)))),
    }
  })
}

export const bytesOf = (values: Int8Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** keccak256 of an int8 vector, as rows and receipts commit to it. */
export const vectorHash = (values: Int8Array): Hex => keccak(bytesOf(values))
