/**
 * Packs token sequences into rows of fixed length. Best-fit decreasing: a sequence is cut only where it is longer than
 * a row, and almost no space is lost (Ding et al. 2024, "Fewer Truncations Improve Language Modeling").
 */

/** `length` tokens of sequence `sequence`, from `start`. */
export type Piece = { sequence: number; start: number; length: number }

/** The pieces of each row, for sequences of the given lengths. */
export function packRows(lengths: readonly number[], rowTokens: number): Piece[][] {
  const pieces = lengths.flatMap((length, sequence) => {
    const starts = Array.from({ length: Math.ceil(length / rowTokens) }, (_, i) => i * rowTokens)
    return starts.map((start) => ({ sequence, start, length: Math.min(rowTokens, length - start) }))
  })
  pieces.sort((a, b) => b.length - a.length)
  const rows: Piece[][] = []
  const rowsBySpace = Array.from({ length: rowTokens + 1 }, (): Piece[][] => [])
  for (const piece of pieces) {
    let space = piece.length
    while (space < rowTokens && rowsBySpace[space]?.length === 0) space++
    let row = rowsBySpace[space]?.pop()
    if (row === undefined) {
      row = []
      rows.push(row)
      space = rowTokens
    }
    row.push(piece)
    rowsBySpace[space - piece.length]?.push(row)
  }
  return rows
}
