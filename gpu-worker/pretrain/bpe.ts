/**
 * Byte-level byte-pair encoding, trained from word counts (Sennrich et al. 2016, GPT-2's byte alphabet and word split).
 * Merges are chosen as Hugging Face `tokenizers` does: most frequent pair first, ties by the smaller pair of ids, so
 * that the same text gives the same vocabulary in both.
 */

/** GPT-2's word split: a `ByteLevel` pre-tokenizer with `use_regex` applies the same. */
export const WORD = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu

/** A trained vocabulary: `tokens[id]`, special tokens first, then the 256 byte symbols, then one token per merge. */
export type Vocabulary = { tokens: string[]; merges: [string, string][] }

/** GPT-2's printable symbol of each byte value: itself where printable in Latin-1, else 256 and up. */
export const BYTE_SYMBOLS: string[] = byteSymbols()

function byteSymbols(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    return String.fromCharCode(isPrintable ? byte : next++)
  })
}

/** Counts the words of `texts`, written in byte symbols. */
export function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const text of texts) {
    for (const [word] of text.matchAll(WORD)) counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  const encoder = new TextEncoder()
  const inSymbols = (word: string) =>
    Array.from(encoder.encode(word), (byte) => BYTE_SYMBOLS[byte]).join('')
  return new Map(Array.from(counts, ([word, count]) => [inSymbols(word), count]))
}

/**
 * Learns a vocabulary of at most `size` tokens from word counts (words in byte symbols). It is smaller only when no
 * pair is left to merge.
 */
export function trainBpe(
  wordCounts: Map<string, number>,
  specials: readonly string[],
  size: number,
): Vocabulary {
  const tokens = [...specials, ...[...BYTE_SYMBOLS].sort()]
  const idOf = new Map(tokens.map((token, id) => [token, id]))
  const words = Array.from(wordCounts, ([word, count]): Word => {
    return { count, ids: Array.from(word, (symbol) => requireId(idOf, symbol)) }
  })

  // A pair (a, b) is the number a * size + b, so that numeric order is the order of pairs.
  const pairCounts = new Map<number, number>()
  const holders = new Map<number, Set<Word>>()
  const changePairs = (word: Word, sign: 1 | -1, changed: Set<number>) => {
    let left = -1
    for (const right of word.ids) {
      if (left >= 0) {
        const pair = left * size + right
        pairCounts.set(pair, (pairCounts.get(pair) ?? 0) + sign * word.count)
        changed.add(pair)
        if (sign > 0) holders.set(pair, (holders.get(pair) ?? new Set()).add(word))
      }
      left = right
    }
  }

  const changed = new Set<number>()
  for (const word of words) changePairs(word, 1, changed)
  const queue = new PairQueue()
  for (const pair of changed) queue.push(pair, pairCounts.get(pair) ?? 0)

  const merges: [string, string][] = []
  while (tokens.length < size) {
    const top = queue.pop()
    if (top === undefined) break
    if (top.count !== pairCounts.get(top.pair)) continue // superseded by a later entry
    const [left, right] = [Math.floor(top.pair / size), top.pair % size]
    const merge: [string, string] = [tokens[left] ?? '', tokens[right] ?? '']
    merges.push(merge)
    const merged = tokens.push(merge.join('')) - 1
    changed.clear()
    for (const word of holders.get(top.pair) ?? []) {
      changePairs(word, -1, changed)
      word.ids = mergePair(word.ids, left, right, merged)
      changePairs(word, 1, changed)
    }
    for (const pair of changed) {
      const count = pairCounts.get(pair) ?? 0
      if (count > 0) queue.push(pair, count)
      else holders.delete(pair)
    }
  }
  return { tokens, merges }
}

/** A word as token ids, and how often it occurs. */
type Word = { readonly count: number; ids: number[] }

function requireId(idOf: Map<string, number>, symbol: string): number {
  const id = idOf.get(symbol)
  if (id === undefined) throw new Error(`not a byte symbol: ${JSON.stringify(symbol)}`)
  return id
}

function mergePair(ids: readonly number[], left: number, right: number, merged: number): number[] {
  const result: number[] = []
  for (const id of ids) {
    // A merged token's id is new, so it cannot be taken for `left` again.
    if (id === right && result.at(-1) === left) result[result.length - 1] = merged
    else result.push(id)
  }
  return result
}

type Entry = { pair: number; count: number }

/** A binary heap: highest count first, then smallest pair. Stale entries are the caller's to skip. */
class PairQueue {
  #heap: Entry[] = []

  static #before(a: Entry, b: Entry): boolean {
    return a.count !== b.count ? a.count > b.count : a.pair < b.pair
  }

  push(pair: number, count: number): void {
    const heap = this.#heap
    const entry = { pair, count }
    let at = heap.push(entry) - 1
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up]
      if (parent === undefined || !PairQueue.#before(entry, parent)) break
      heap[at] = parent
      at = up
    }
    heap[at] = entry
  }

  pop(): Entry | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return last
    let at = 0
    for (;;) {
      const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]]
      if (left === undefined) break
      const isRight = right !== undefined && PairQueue.#before(right, left)
      const child = isRight ? right : left
      if (!PairQueue.#before(child, last)) break
      heap[at] = child
      at = 2 * at + (isRight ? 2 : 1)
    }
    heap[at] = last
    return top
  }
}
