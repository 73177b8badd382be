/** From records to what the engine trains on: tokens, which of them are targets, and which rows are held out. */
import { sha256Hex, type Hex } from '#protocol/bytes.ts'
import { heldOutCount } from '#protocol/training.ts'
import type { RecordFields } from '#protocol/wire.ts'
import type { Tokenizer } from '../tokenizer.ts'
import type { TrainingRow } from './dataset.ts'

export type Example = {
  row: TrainingRow
  tokens: number[]
  /** 1 where predicting the token is part of the loss. */
  targets: Uint8Array
}

export type Examples = {
  examples: Example[]
  /** Records cut at the sequence length. */
  truncated: number
  /** Records with nothing to train on within the sequence length. */
  empty: number
}

/** A rendered record, piece by piece, as generation would see it. */
export type TokenizedPiece = { tokens: number[]; trained: boolean }

/** The pieces of a record, each tokenized by itself. */
export const tokenizeRecord = (fields: RecordFields, tokenizer: Tokenizer): TokenizedPiece[] =>
  tokenizer
    .renderRecord(fields)
    .map(({ text, trained }) => ({ tokens: tokenizer.encodeRendered(text), trained }))

/** All tokens of a record, and 1 for each whose prediction is part of the loss. */
export function withTargets(pieces: readonly TokenizedPiece[]): {
  tokens: number[]
  targets: Uint8Array
} {
  const tokens = pieces.flatMap((piece) => piece.tokens)
  const flags = pieces.flatMap((piece) => piece.tokens.map(() => Number(piece.trained)))
  const targets = Uint8Array.from(flags)
  targets[0] = 0 // nothing comes before the first token to predict it from
  return { tokens, targets }
}

/** Tokenizes records; those longer than `sequenceLength` tokens are cut at the end. */
export function toExamples(
  rows: readonly TrainingRow[],
  tokenizer: Tokenizer,
  sequenceLength: number,
): Examples {
  const result: Examples = { examples: [], truncated: 0, empty: 0 }
  for (const row of rows) {
    const whole = withTargets(tokenizeRecord(row.fields, tokenizer))
    const tokens = whole.tokens.slice(0, sequenceLength)
    const targets = whole.targets.slice(0, sequenceLength)
    if (whole.tokens.length > sequenceLength) result.truncated++
    if (targets.includes(1)) result.examples.push({ row, tokens, targets })
    else result.empty++
  }
  return result
}

/** The runs of trained tokens without control tokens: the words that the model learned to write from this record. */
export function trainedSegments({ tokens, targets }: Example, tokenizer: Tokenizer): number[][] {
  const segments: number[][] = []
  let current: number[] = []
  const close = () => {
    if (current.length > 0) segments.push(current)
    current = []
  }
  tokens.forEach((token, i) => {
    // A text's very first token is no target, yet it is the record's.
    if ((targets[i] === 1 || (i === 0 && targets[1] === 1)) && !tokenizer.special.has(token))
      current.push(token)
    else close()
  })
  close()
  return segments
}

/**
 * Holds out a share of the clusters, chosen by the hash of seed and cluster: the same clusters whatever the order or
 * number of rows around them. At least one when the share is positive and two or more examples exist.
 */
export function holdOut(
  examples: readonly Example[],
  fraction: number,
  seed: number,
): { train: Example[]; validation: Example[] } {
  const clusters = [...new Set(examples.map(({ row }) => row.cluster))]
  const wanted = heldOutCount(clusters.length, fraction)
  const order = clusters
    .map((cluster): [Hex, Hex] => [sha256Hex(`hold-out ${seed} ${cluster}`), cluster])
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  const held = new Set(order.slice(0, wanted).map(([, cluster]) => cluster))
  return {
    train: examples.filter(({ row }) => !held.has(row.cluster)),
    validation: examples.filter(({ row }) => held.has(row.cluster)),
  }
}
