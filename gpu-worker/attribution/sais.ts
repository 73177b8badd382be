/**
 * Suffix array by induced sorting: Nong, Zhang, Chan, "Two Efficient Algorithms for Linear Time Suffix Array
 * Construction" (IEEE ToC 2011). A suffix that is a proper prefix of another sorts first, as if a smallest
 * sentinel followed the text. O(n + alphabet) time, about 5 words per symbol.
 */

/** Suffix array of `text`, whose symbols are 0..upper. Any symbol may occur any number of times. */
export function suffixArray(text: Int32Array, upper: number): Int32Array {
  const n = text.length
  if (n === 0) return new Int32Array(0)
  if (n === 1) return Int32Array.of(0)

  // A suffix is S-type when it sorts before its successor, L-type otherwise; the last one is L (before a sentinel).
  const isS = new Uint8Array(n)
  for (let i = n - 2; i >= 0; i--) {
    const a = at(text, i)
    const b = at(text, i + 1)
    isS[i] = a === b ? (isS[i + 1] as number) : a < b ? 1 : 0
  }
  const isLms = (i: number) => i > 0 && isS[i] === 1 && isS[i - 1] === 0

  // Bucket c holds the suffixes that begin with c: L-types from lStart[c], S-types from sStart[c].
  const lStart = new Int32Array(upper + 2)
  const sStart = new Int32Array(upper + 2)
  for (let i = 0; i < n; i++) {
    const c = at(text, i)
    if (isS[i] === 0) sStart[c] = at(sStart, c) + 1
    else lStart[c + 1] = at(lStart, c + 1) + 1
  }
  for (let c = 0; c <= upper; c++) {
    sStart[c] = at(sStart, c) + at(lStart, c)
    lStart[c + 1] = at(lStart, c + 1) + at(sStart, c)
  }

  const sa = new Int32Array(n)
  const cursor = new Int32Array(upper + 2)
  /** Sorts every suffix, given the leftmost-S (LMS) suffixes in an order that is right per bucket. */
  const induce = (lms: Int32Array) => {
    sa.fill(-1)
    cursor.set(sStart)
    for (const i of lms) {
      const c = at(text, i)
      sa[at(cursor, c)] = i
      cursor[c] = at(cursor, c) + 1
    }
    cursor.set(lStart)
    const placeL = (i: number) => {
      const c = at(text, i)
      sa[at(cursor, c)] = i
      cursor[c] = at(cursor, c) + 1
    }
    placeL(n - 1)
    for (let rank = 0; rank < n; rank++) {
      const i = at(sa, rank)
      if (i >= 1 && isS[i - 1] === 0) placeL(i - 1)
    }
    cursor.set(lStart)
    for (let rank = n - 1; rank >= 0; rank--) {
      const i = at(sa, rank)
      if (i < 1 || isS[i - 1] === 0) continue
      const c = at(text, i - 1) + 1
      cursor[c] = at(cursor, c) - 1
      sa[at(cursor, c)] = i - 1
    }
  }

  const lmsIndex = new Int32Array(n).fill(-1)
  let count = 0
  for (let i = 1; i < n; i++) if (isLms(i)) lmsIndex[i] = count++
  const lms = new Int32Array(count)
  for (let i = 1; i < n; i++) if (at(lmsIndex, i) >= 0) lms[at(lmsIndex, i)] = i
  induce(lms)
  if (count === 0) return sa

  // Name the LMS substrings by rank, equal ones alike; sort their suffixes by recursion when names repeat.
  const sorted = sa.filter((i) => at(lmsIndex, i) >= 0)
  const names = new Int32Array(count)
  let last = 0
  for (let k = 1; k < count; k++) {
    if (!equalLms(text, lms, lmsIndex, at(sorted, k - 1), at(sorted, k))) last++
    names[at(lmsIndex, at(sorted, k))] = last
  }
  const order = suffixArray(names, last)
  induce(order.map((k) => at(lms, k)))
  return sa
}

/** Whether the LMS substrings at `a` and `b` (each up to and with the next LMS position) are equal. */
function equalLms(
  text: Int32Array,
  lms: Int32Array,
  lmsIndex: Int32Array,
  a: number,
  b: number,
): boolean {
  const end = (i: number) => lms[(lmsIndex[i] as number) + 1] ?? text.length
  const length = end(a) - a
  if (length !== end(b) - b) return false
  // Both end in a shared LMS symbol, except when one runs into the end of the text.
  if (a + length >= text.length || b + length >= text.length) return false
  for (let k = 0; k <= length; k++) if (text[a + k] !== text[b + k]) return false
  return true
}

const at = (array: Int32Array, index: number): number => array[index] as number
