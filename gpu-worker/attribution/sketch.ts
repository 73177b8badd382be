/** Count sketches (Charikar et al. 2002): every number of a vector is added, with a random sign, to one random place. */
import { hash } from 'node:crypto'

/** Per number its place, or where its sign is negative ~place. */
export type Sketch = Int32Array

export const placeOf = (entry: number): number => entry ^ (entry >> 31)
/** 1 | -1: a random sign is no branch that a processor could guess. */
export const signOf = (entry: number): number => 1 | (entry >> 31)

const WORDS = 16

/** Draws places below `dims` for `size` numbers: the 32-bit words, little-endian, of sha512("seed|block"); the upper bit is the sign. */
export function drawSketch(seed: string, size: number, dims: number): Sketch {
  const sketch = new Int32Array(size)
  for (let start = 0; start < size; start += WORDS) {
    const digest = hash('sha512', `${seed}|${start / WORDS}`, 'buffer')
    for (let i = 0; i < WORDS && start + i < size; i++) {
      const word = digest.readInt32LE(4 * i)
      const place = (word & 0x7fffffff) % dims
      sketch[start + i] = word < 0 ? ~place : place
    }
  }
  return sketch
}
