/**
 * Quality signals of Gopher, C4, FineWeb and RedPajama, stored with every record. They are signals, not gates: measured
 * on good legal and medical text, those filters as gates would reject up to nine records in ten (C4's five sentences,
 * Gopher's stop words). profile.ts says which few of them gate, and at what value.
 */

const STOP_WORDS: ReadonlySet<string> = new Set([
  'the',
  'be',
  'to',
  'of',
  'and',
  'that',
  'have',
  'with',
])
const SHORT_LINE_CHARS = 30
const TOP_NGRAMS = [2, 3, 4] as const
const DUPLICATE_NGRAMS = [5, 6, 7, 8, 9, 10] as const

/** Fractions are 0 to 1, rounded to four places; counts are integers. */
export type QualitySignals = {
  chars: number
  words: number
  sentences: number
  lines: number
  meanWordLength: number
  maxWordLength: number
  uniqueWords: number
  unigramEntropy: number
  wordsWithLetter: number
  allCapsWords: number
  symbolsPerWord: number
  /** How many of Gopher's eight stop words occur. */
  stopWords: number
  digitChars: number
  replacementChars: number
  linesEndingInPunctuation: number
  shortLines: number
  bulletLines: number
  ellipsisLines: number
  duplicateLines: number
  duplicateLineChars: number
  duplicateParagraphs: number
  duplicateParagraphChars: number
  /** Share of characters in the commonest repeated n-gram, for n = 2, 3, 4. */
  topNgramChars: number[]
  /** Share of characters in repeated n-grams, for n = 5 to 10. */
  duplicateNgramChars: number[]
  hasCurlyBracket: boolean
  hasLoremIpsum: boolean
}

/** Computes all signals; an empty text has zeros. Time is linear in the text. */
export function measureQuality(text: string): QualitySignals {
  const words = text.match(/\S+/g) ?? []
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const paragraphs = text
    .split(/\n[ \t]*\n/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
  const counts = new Map<string, number>()
  const ids = new Uint32Array(words.length)
  const firstSeen = new Map<string, number>()
  for (const [i, word] of words.entries()) {
    const lower = word.toLowerCase()
    counts.set(lower, (counts.get(lower) ?? 0) + 1)
    const id = firstSeen.get(lower) ?? firstSeen.size
    firstSeen.set(lower, id)
    ids[i] = id
  }
  const n = words.length
  const wordChars = words.reduce((sum, word) => sum + word.length, 0)
  const share = (part: number, whole: number): number => (whole === 0 ? 0 : round(part / whole))
  const duplicateLines = duplicatesOf(lines)
  const duplicateParagraphs = duplicatesOf(paragraphs)
  const lengths = Uint32Array.from(words, (word) => word.length)
  return {
    chars: text.length,
    words: n,
    sentences: text.match(/[^.!?。！？]+[.!?。！？]*/g)?.length ?? 0,
    lines: lines.length,
    meanWordLength: share(wordChars, n),
    maxWordLength: words.reduce((longest, word) => Math.max(longest, word.length), 0),
    uniqueWords: share(counts.size, n),
    unigramEntropy: round(entropyOf(counts.values(), n)),
    wordsWithLetter: share(
      countOf(words, (word) => /\p{L}/u.test(word)),
      n,
    ),
    allCapsWords: share(countOf(words, isAllCaps), n),
    symbolsPerWord: share(text.match(/#|\.\.\.|…/g)?.length ?? 0, n),
    stopWords: countOf([...STOP_WORDS], (word) => counts.has(word)),
    digitChars: share(text.match(/\d/g)?.length ?? 0, text.length),
    replacementChars: share(text.match(/\ufffd/g)?.length ?? 0, text.length),
    linesEndingInPunctuation: share(
      countOf(lines, (line) => /[.!?"'”。！？]$/.test(line)),
      lines.length,
    ),
    shortLines: share(
      countOf(lines, (line) => line.length <= SHORT_LINE_CHARS),
      lines.length,
    ),
    bulletLines: share(
      countOf(lines, (line) => /^[-*•●▪‣]/.test(line)),
      lines.length,
    ),
    ellipsisLines: share(
      countOf(lines, (line) => /(?:\.\.\.|…)$/.test(line)),
      lines.length,
    ),
    duplicateLines: share(duplicateLines.items, lines.length),
    duplicateLineChars: share(duplicateLines.chars, text.length),
    duplicateParagraphs: share(duplicateParagraphs.items, paragraphs.length),
    duplicateParagraphChars: share(duplicateParagraphs.chars, text.length),
    topNgramChars: TOP_NGRAMS.map((size) => share(topNgramChars(ids, lengths, size), wordChars)),
    duplicateNgramChars: DUPLICATE_NGRAMS.map((size) =>
      share(duplicateNgramChars(ids, lengths, size), wordChars),
    ),
    hasCurlyBracket: text.includes('{'),
    hasLoremIpsum: /lorem ipsum/i.test(text),
  }
}

const countOf = <T>(items: readonly T[], test: (item: T) => boolean): number =>
  items.reduce((sum, item) => sum + (test(item) ? 1 : 0), 0)

const isAllCaps = (word: string): boolean =>
  word.length > 1 && word === word.toUpperCase() && word !== word.toLowerCase()

const round = (value: number): number => Math.round(value * 10_000) / 10_000

function entropyOf(counts: Iterable<number>, total: number): number {
  let bits = 0
  for (const count of counts) bits -= (count / total) * Math.log2(count / total)
  return bits
}

/** Items seen before in the list, and their characters. */
function duplicatesOf(items: readonly string[]): { items: number; chars: number } {
  const seen = new Set<string>()
  let repeated = 0
  let chars = 0
  for (const item of items) {
    if (seen.has(item)) {
      repeated++
      chars += item.length
    } else seen.add(item)
  }
  return { items: repeated, chars }
}

/** 32-bit key of the n-gram of word ids at `start`; a collision only nudges a signal. */
function ngramKey(ids: Uint32Array, start: number, size: number): number {
  let key = size
  for (let i = start; i < start + size; i++)
    key = Math.imul(key ^ (ids[i] ?? 0), 0x9e3779b1) ^ (key >>> 15)
  return key
}

const lengthAt = (lengths: Uint32Array, start: number, size: number): number => {
  let sum = 0
  for (let i = start; i < start + size; i++) sum += lengths[i] ?? 0
  return sum
}

/** Characters of the commonest n-gram times its count; 0 when none repeats. */
function topNgramChars(ids: Uint32Array, lengths: Uint32Array, size: number): number {
  const counts = new Map<number, number>()
  let top = 1
  let topStart = 0
  for (let i = 0; i + size <= ids.length; i++) {
    const key = ngramKey(ids, i, size)
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    if (count > top) {
      top = count
      topStart = i
    }
  }
  return top === 1 ? 0 : top * lengthAt(lengths, topStart, size)
}

/** Characters in n-grams seen before, none counted twice. */
function duplicateNgramChars(ids: Uint32Array, lengths: Uint32Array, size: number): number {
  const seen = new Set<number>()
  let chars = 0
  for (let i = 0; i + size <= ids.length;) {
    const key = ngramKey(ids, i, size)
    if (seen.has(key)) {
      chars += lengthAt(lengths, i, size)
      i += size
    } else {
      seen.add(key)
      i++
    }
  }
  return chars
}
