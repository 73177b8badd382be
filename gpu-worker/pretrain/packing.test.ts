import assert from 'node:assert/strict'
import test from 'node:test'
import { packRows } from './packing.ts'

test('every token of every sequence is packed exactly once', () => {
  const lengths = [3, 8, 17, 1, 5, 5, 2, 9]
  const seen = lengths.map((length) => new Array<number>(length).fill(0))
  for (const row of packRows(lengths, 8)) {
    assert.ok(row.reduce((sum, piece) => sum + piece.length, 0) <= 8)
    for (const { sequence, start, length } of row) {
      for (let i = start; i < start + length; i++) seen[sequence]![i]! += 1
    }
  }
  assert.ok(seen.flat().every((count) => count === 1))
})

test('sequences are cut only where they exceed a row, and rows fill up where pieces fit', () => {
  const rows = packRows([8, 3, 5, 4, 4, 12], 8)
  assert.equal(rows.length, 5)
  const cut = rows.flat().filter((piece) => piece.sequence === 5)
  assert.deepEqual(cut.map(({ start, length }) => [start, length]).sort(), [
    [0, 8],
    [8, 4],
  ])
})
