// Seeded random numbers: the same seed gives the same bits on every machine. Not for secrets.

/** Returns the next number of a sequence, uniform in [0, 1). */
export type RandomSource = () => number

/** sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, seeded by 32. */
export function randomSource(seed: number): RandomSource {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = seed | 0
  let counter = 1
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return (sum >>> 0) / 0x1_0000_0000
  }
  for (let i = 0; i < 15; i++) next() // lets the seed reach all of the state
  return next
}

/** Fills `into` with normal numbers of mean zero (Box-Muller). */
export function gaussian(random: RandomSource, into: Float32Array, deviation: number): void {
  for (let i = 0; i < into.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random()))
    const angle = 2 * Math.PI * random()
    into[i] = radius * Math.cos(angle)
    if (i + 1 < into.length) into[i + 1] = radius * Math.sin(angle)
  }
}

/** Fills `into` with numbers uniform in [-bound, bound). */
export function uniform(random: RandomSource, into: Float32Array, bound: number): void {
  for (let i = 0; i < into.length; i++) into[i] = bound * (2 * random() - 1)
}
