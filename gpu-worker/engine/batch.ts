// Turns token sequences into the inputs of the sequence programs. Two layouts: `packBatch` fills rows with several
// sequences each (training), `padBatch` gives each sequence its own row (influence, evaluation per example).
import type { Feed, Feeds } from './session.ts'

/** A token sequence; `targets[i]` says whether predicting tokens[i] from tokens[0..i) is part of the loss. */
export type Sequence = {
  readonly tokens: ArrayLike<number>
  /** One flag per token, the first is ignored; absent means every token. */
  readonly targets?: ArrayLike<number | boolean>
}

/** `mean`: the loss is the mean over all targets. `per-sequence`: the sum of each sequence's own mean. */
export type Weighting = 'mean' | 'per-sequence'

export type Batch = {
  readonly feeds: Feeds
  /** Number of targets in the loss. */
  readonly targetCount: number
  /** For every target, in the order of `nll`, the index of its sequence. */
  readonly targetSequence: Int32Array
}

type Placed = { readonly sequence: Sequence; readonly row: number; readonly start: number }

/**
 * Packs sequences into rows of `length` tokens, first fit in the given order; each sequence is a segment and sees only
 * itself. Throws an Error when a sequence is longer than a row.
 */
export function packBatch(
  sequences: readonly Sequence[],
  length: number,
  weighting: Weighting = 'mean',
): Batch {
  const used: number[] = []
  const placed = sequences.map((sequence, index): Placed => {
    const size = sequence.tokens.length
    if (size > length)
      throw new Error(`sequence ${index} has ${size} tokens, a row holds ${length}`)
    const fit = used.findIndex((taken) => taken + size <= length)
    const row = fit < 0 ? used.length : fit
    const start = used[row] ?? 0
    used[row] = start + size
    return { sequence, row, start }
  })
  return layOut(placed, used.length, length, weighting)
}

/** One sequence per row, padded to the longest. */
export function padBatch(sequences: readonly Sequence[], weighting: Weighting = 'mean'): Batch {
  const length = sequences.reduce((longest, { tokens }) => Math.max(longest, tokens.length), 1)
  const placed = sequences.map((sequence, row): Placed => ({ sequence, row, start: 0 }))
  return layOut(placed, sequences.length, length, weighting)
}

const PADDING_SEGMENT = -1 // sees only other padding, and no target reads it

const list = (data: Int32Array | Float32Array): Feed => ({ dims: [data.length], data })

function layOut(
  placed: readonly Placed[],
  rowCount: number,
  length: number,
  weighting: Weighting,
): Batch {
  const tokens = new Int32Array(rowCount * length)
  const segments = new Int32Array(rowCount * length).fill(PADDING_SEGMENT)
  const positions = new Int32Array(rowCount * length)
  const rows: number[] = []
  const labels: number[] = []
  const owner: number[] = []
  const counts = new Int32Array(placed.length)
  placed.forEach(({ sequence, row, start }, index) => {
    const offset = row * length + start
    tokens.set(Int32Array.from(sequence.tokens), offset)
    for (let i = 0; i < sequence.tokens.length; i++) {
      segments[offset + i] = index
      positions[offset + i] = i
      if (i === 0 || (sequence.targets && !sequence.targets[i])) continue
      rows.push(offset + i - 1)
      labels.push(sequence.tokens[i] ?? 0)
      owner.push(index)
      counts[index] = (counts[index] ?? 0) + 1
    }
  })
  if (rows.length === 0) throw new Error('the batch has no target')
  const weights = Float32Array.from(owner, (index) =>
    weighting === 'mean' ? 1 / owner.length : 1 / (counts[index] ?? 1),
  )
  const grid = (data: Int32Array): Feed => ({ dims: [rowCount, length], data })
  return {
    feeds: {
      tokens: grid(tokens),
      segments: grid(segments),
      positions: grid(positions),
      rows: list(Int32Array.from(rows)),
      labels: list(Int32Array.from(labels)),
      weights: list(weights),
    },
    targetCount: rows.length,
    targetSequence: Int32Array.from(owner),
  }
}
