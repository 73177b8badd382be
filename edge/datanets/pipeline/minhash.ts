/**
 * Scheme mh1: MinHash over word 5-grams, 112 permutations as 14 bands of 8 rows (a pair of Jaccard similarity s meets
 * in a band with probability 1 - (1 - s^8)^14: 0.05 at 0.5, 0.92 at 0.8, 1.00 at 0.9). And scheme wn1: 13-word windows,
 * of which the least hash of every 15 in a row is indexed (winnowing), to find records contained in longer ones: one in
 * eight, and at least one of any 27 words that two texts share. Of texts under 28 words all are. Where texts are known by
 * these fingerprints alone, one of 8 to 12 words is a window of its own: eight words in a row are hardly written twice by
 * chance (Radford et al. 2019 look for overlap of training and test data by as many).
 * Broder 1997, "On the resemblance and containment of documents"; Schleimer, Wilkerson and Aiken 2003, "Winnowing: local
 * algorithms for document fingerprinting"; band numbers as in datatrove and FineWeb.
 */

export const MH1 = { shingleWords: 5, permutations: 112, bands: 14, rows: 8 } as const
export const WN1 = { windowWords: 13, windows: 15, wholeWords: 8 } as const

const GOLDEN = 0x9e3779b9

/** MurmurHash3's 32-bit finalizer: a bijection in which every input bit reaches every output bit. */
export function fmix32(value: number): number {
  let h = value ^ (value >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

const SEEDS = Uint32Array.from({ length: MH1.permutations }, (_, k) =>
  fmix32(Math.imul(k + 1, GOLDEN)),
)

/** FNV-1a over UTF-16 code units, mixed: u32. */
function hashString(text: string, seed: number): number {
  let h = 0x811c9dc5 ^ seed
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return fmix32(h)
}

/** What two texts are compared by. */
export type Sketch = {
  /** Distinct hashes of word 5-grams, ascending: [shingles] u32. */
  shingles: Uint32Array
  /** Hashes of the word 5-grams as they follow each other; empty for texts under five words. */
  inOrder: Uint32Array
  /** Distinct hashes of 13-word windows, ascending: [windows], integers below 2^52. Empty for shorter texts. */
  windows: Float64Array
  /** Those of the windows that go into the index and are looked up in it. */
  fingerprints: number[]
}

/** Sketches a simplified text (see normalize.ts). Texts under five words are shingled by five characters. */
export function sketch(simplified: string): Sketch {
  const words = hashWords(simplified)
  const inOrder = wordShingles(words.low)
  const shingles = inOrder.length === 0 ? charShingles(simplified) : distinct(inOrder.slice())
  const windows = windowHashes(words, WN1.windowWords)
  const fingerprints = winnow(windows)
  return { shingles, inOrder, windows: distinct(windows), fingerprints }
}

/**
 * The fingerprints of a simplified text that is known by nothing else, a short one's included. Left out is what the text
 * may have from another, simplified too: windows with five words in a row that stand there.
 */
export function fingerprintsOf(simplified: string, apartFrom = ''): number[] {
  const words = hashWords(simplified)
  const length = Math.min(WN1.windowWords, words.low.length)
  if (length < WN1.wholeWords) return []
  const windows = windowHashes(words, length)
  const fingerprints = winnow(windows)
  if (apartFrom === '') return fingerprints
  const elsewhere = new Set(wordShingles(hashWords(apartFrom).low))
  const inOrder = wordShingles(words.low)
  const repeated = new Set<number>()
  for (const [at, hash] of windows.entries())
    if (inOrder.slice(at, at + length - MH1.shingleWords + 1).some((it) => elsewhere.has(it)))
      repeated.add(hash)
  return fingerprints.filter((hash) => !repeated.has(hash))
}

/** Two hashes of each word: [words] u32. */
type WordHashes = { low: Uint32Array; high: Uint32Array }

function hashWords(simplified: string): WordHashes {
  const words = simplified === '' ? [] : simplified.split(' ')
  const low = new Uint32Array(words.length)
  const high = new Uint32Array(words.length)
  const memo = new Map<string, number>() // words repeat: hash each once
  for (const [i, word] of words.entries()) {
    const seen = memo.get(word)
    if (seen === undefined) {
      memo.set(word, i)
      low[i] = hashString(word, 0)
      high[i] = hashString(word, GOLDEN)
    } else {
      low[i] = low[seen] ?? 0
      high[i] = high[seen] ?? 0
    }
  }
  return { low, high }
}

/** The least of every `WN1.windows` hashes in a row, each once; all of them when there are no more than that. */
function winnow(hashes: Float64Array): number[] {
  if (hashes.length <= WN1.windows) return [...new Set(hashes)]
  const chosen = new Set<number>()
  for (let end = WN1.windows; end <= hashes.length; end++) {
    let least = Infinity
    for (let i = end - WN1.windows; i < end; i++) {
      const hash = hashes[i] ?? Infinity
      if (hash < least) least = hash
    }
    chosen.add(least)
  }
  return [...chosen]
}

/**
 * The share of a text's words that stand in a 5-gram which the other text has too: what scattered changes leave standing.
 * Zero for texts under five words.
 */
export function sharedWords({ inOrder }: Sketch, { shingles }: Sketch): number {
  if (inOrder.length === 0) return 0
  const theirs = new Set(shingles)
  let shared = 0
  let next = 0 // the first word that is not counted yet
  for (const [at, hash] of inOrder.entries()) {
    if (!theirs.has(hash)) continue
    shared += at + MH1.shingleWords - Math.max(next, at)
    next = at + MH1.shingleWords
  }
  return shared / (inOrder.length + MH1.shingleWords - 1)
}

function wordShingles(words: Uint32Array): Uint32Array {
  const hashes = new Uint32Array(Math.max(0, words.length - MH1.shingleWords + 1))
  for (let i = 0; i < hashes.length; i++) hashes[i] = chain(words, i, MH1.shingleWords, 0)
  return hashes
}

function charShingles(text: string): Uint32Array {
  const count = Math.max(1, text.length - 4)
  return distinct(
    Uint32Array.from({ length: count }, (_, i) => hashString(text.slice(i, i + 5), 1)),
  )
}

function windowHashes({ low, high }: WordHashes, length: number): Float64Array {
  const hashes = new Float64Array(Math.max(0, low.length - length + 1))
  for (let i = 0; i < hashes.length; i++)
    hashes[i] = join52(chain(high, i, length, 1), chain(low, i, length, 0))
  return hashes
}

/** Order-dependent hash of `count` word hashes from `start`: u32. */
function chain(words: Uint32Array, start: number, count: number, seed: number): number {
  let h = seed
  for (let i = start; i < start + count; i++)
    h = Math.imul(h ^ (words[i] ?? 0), 0x5bd1e995) ^ (h >>> 15)
  return fmix32(h)
}

/** 20 bits over 32 bits: an integer that a double, SQLite and Postgres all hold exactly. */
const join52 = (high: number, low: number): number => (high & 0xfffff) * 0x1_0000_0000 + low

function distinct<Hashes extends Uint32Array | Float64Array>(hashes: Hashes): Hashes {
  hashes.sort()
  let kept = 0
  for (let i = 0; i < hashes.length; i++)
    if (i === 0 || hashes[i] !== hashes[i - 1]) hashes[kept++] = hashes[i] ?? 0
  return hashes.slice(0, kept) as Hashes
}

/** The least hash under each permutation: [112] u32. Each permutation is fmix32 of the shingle XOR its seed. */
export function signature(shingles: Uint32Array): Uint32Array {
  const least = new Uint32Array(MH1.permutations).fill(0xffffffff)
  for (let k = 0; k < MH1.permutations; k++) {
    const seed = SEEDS[k] ?? 0
    let min = 0xffffffff
    for (let i = 0; i < shingles.length; i++) {
      const h = fmix32((shingles[i] ?? 0) ^ seed)
      if (h < min) min = h
    }
    least[k] = min
  }
  return least
}

/** One key per band: [14], each an integer below 2^52. Equal keys mean eight equal minima, but for hash accidents. */
export function bandKeys(shingles: Uint32Array): number[] {
  const least = signature(shingles)
  return Array.from({ length: MH1.bands }, (_, band) => {
    const start = band * MH1.rows
    return join52(
      chain(least, start, MH1.rows, fmix32(band + 1)),
      chain(least, start, MH1.rows, fmix32(~band)),
    )
  })
}

/** Calls `onShared` with the positions in `a` of the elements that two ascending lists share; returns their number. */
export function intersect(
  a: Uint32Array | Float64Array,
  b: Uint32Array | Float64Array,
  onShared?: (at: number) => void,
): number {
  let shared = 0
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const x = a[i] ?? 0
    const y = b[j] ?? 0
    if (x === y) {
      shared++
      onShared?.(i)
    }
    if (x <= y) i++
    if (y <= x) j++
  }
  return shared
}
