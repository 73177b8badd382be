/**
 * Suffix array by induced sorting: Nong, Zhang, Chan, "Two Efficient Algorithms for Linear Time Suffix Array
 * Construction" (IEEE ToC 2011), in the space of its result, as Mori's sais-lite lays it out: the sorted substrings,
 * their names and the reduced text all live in the array that becomes the answer. A suffix that is a proper prefix of
 * another sorts first, as if a smallest sentinel followed the text. O(n + alphabet) time, 2 words per symbol of the
 * alphabet beside text and result.
 *
 * A suffix is S when it sorts before its successor and L otherwise; LMS is an S suffix after an L one. An entry i is
 * complemented (~i, negative) when the suffix before i is of the other type, so that the pass that runs skips it.
 */

/** Suffix array of `text`, whose symbols are 0..upper. Any symbol may occur any number of times. */
export function suffixArray(text: Int32Array, upper: number): Int32Array {
  const suffixes = new Int32Array(text.length)
  if (text.length > 1) sortSuffixes(text, suffixes, upper + 1)
  return suffixes
}

/** Fills `sa` (n entries); `text` may be the second half of the array that `sa` is the first half of. */
function sortSuffixes(text: Int32Array, sa: Int32Array, alphabet: number): void {
  const n = text.length
  const counts = new Int32Array(alphabet)
  for (let i = 0; i < n; i++) counts[at(text, i)] = at(counts, at(text, i)) + 1
  const cursor = new Int32Array(alphabet)

  // 1. Sort the LMS substrings: place their positions at their buckets' ends in any order, and induce.
  sa.fill(0, 0, n)
  toEnds(counts, cursor)
  let slot = -1
  let last = 0
  const count = eachLms(text, (position) => {
    // The leftmost one ends no substring, so each is written when the next one is found.
    if (slot >= 0) sa[slot] = last - 1
    const c = at(text, position)
    slot = at(cursor, c) - 1
    cursor[c] = slot
    last = position
  })
  if (count === 1) sa[slot] = last
  if (count > 1) {
    induceSubstrings(text, sa, counts, cursor)
    const names = nameSubstrings(text, sa, count)

    // 2. Sort the LMS suffixes: by their names alone, or where names repeat by the suffixes of the text of names.
    const positions = sa.subarray(n - count, n)
    if (names < count) {
      for (let i = count + (n >> 1) - 1, j = count - 1; i >= count; i--)
        if (at(sa, i) !== 0) positions[j--] = at(sa, i) - 1
      sortSuffixes(positions, sa.subarray(0, count), names)
      let j = count - 1
      eachLms(text, (position) => (positions[j--] = position))
      for (let i = 0; i < count; i++) sa[i] = at(positions, at(sa, i))
    }
    sa.fill(0, count, n)
    toEnds(counts, cursor)
    for (let i = count - 1; i >= 0; i--) {
      const position = at(sa, i)
      sa[i] = 0
      const c = at(text, position)
      cursor[c] = at(cursor, c) - 1
      sa[at(cursor, c)] = position
    }
  }

  // 3. Induce all suffixes from the sorted LMS ones.
  induceSuffixes(text, sa, counts, cursor)
}

/** Visits the LMS positions from right to left; answers how many there are. */
function eachLms(text: Int32Array, visit: (position: number) => void): number {
  let count = 0
  let isS = false
  for (let i = text.length - 2; i >= 0; i--) {
    const a = at(text, i)
    const b = at(text, i + 1)
    if (a < b) isS = true
    else if (a > b) {
      if (isS) {
        visit(i + 1)
        count++
      }
      isS = false
    }
  }
  return count
}

/** Leaves the LMS positions in `sa`, complemented, in the order of their substrings; other entries are zero. */
function induceSubstrings(
  text: Int32Array,
  sa: Int32Array,
  counts: Int32Array,
  cursor: Int32Array,
): void {
  const n = text.length
  toStarts(counts, cursor)
  let c = at(text, n - 1)
  let b = at(cursor, c)
  sa[b++] = at(text, n - 2) < c ? ~(n - 2) : n - 2
  for (let i = 0; i < n; i++) {
    const j = at(sa, i)
    if (j > 0) {
      const next = at(text, j)
      if (next !== c) {
        cursor[c] = b
        c = next
        b = at(cursor, c)
      }
      sa[b++] = at(text, j - 1) < c ? ~(j - 1) : j - 1
      sa[i] = 0
    } else if (j < 0) sa[i] = ~j
  }
  toEnds(counts, cursor)
  c = 0
  b = at(cursor, 0)
  for (let i = n - 1; i >= 0; i--) {
    const j = at(sa, i)
    if (j <= 0) continue
    const next = at(text, j)
    if (next !== c) {
      cursor[c] = b
      c = next
      b = at(cursor, c)
    }
    sa[--b] = at(text, j - 1) > c ? ~j : j - 1
    sa[i] = 0
  }
}

/** Moves the sorted LMS positions to the front and names their substrings, equal ones alike; answers how many names. */
function nameSubstrings(text: Int32Array, sa: Int32Array, count: number): number {
  const n = text.length
  let kept = 0
  for (let i = 0; kept < count; i++) {
    const p = at(sa, i)
    if (p >= 0) continue
    sa[i] = 0
    sa[kept++] = ~p
  }
  // LMS positions are at least two apart: p >> 1 is a place of its own for the length, then the name, of each.
  sa.fill(0, count, n)
  let end = n
  eachLms(text, (position) => {
    sa[count + (position >> 1)] = end - position
    end = position
  })
  let names = 0
  let previous = 0
  let previousLength = 0
  for (let i = 0; i < count; i++) {
    const p = at(sa, i)
    const length = at(sa, count + (p >> 1))
    // Both end in a shared LMS symbol, except when one runs into the end of the text.
    let isEqual = length === previousLength && p + length < n && previous + length < n
    for (let k = 0; isEqual && k <= length; k++)
      isEqual = at(text, p + k) === at(text, previous + k)
    if (!isEqual) {
      names++
      previous = p
      previousLength = length
    }
    sa[count + (p >> 1)] = names
  }
  return names
}

/** Completes `sa`, which holds the sorted LMS suffixes at their buckets' ends and zeros elsewhere. */
function induceSuffixes(
  text: Int32Array,
  sa: Int32Array,
  counts: Int32Array,
  cursor: Int32Array,
): void {
  const n = text.length
  toStarts(counts, cursor)
  let c = at(text, n - 1)
  let b = at(cursor, c)
  sa[b++] = n > 1 && at(text, n - 2) < c ? ~(n - 1) : n - 1
  for (let i = 0; i < n; i++) {
    const j = at(sa, i) - 1
    sa[i] = ~(j + 1)
    if (j < 0) continue
    const next = at(text, j)
    if (next !== c) {
      cursor[c] = b
      c = next
      b = at(cursor, c)
    }
    sa[b++] = j > 0 && at(text, j - 1) < c ? ~j : j
  }
  toEnds(counts, cursor)
  c = 0
  b = at(cursor, 0)
  for (let i = n - 1; i >= 0; i--) {
    const j = at(sa, i) - 1
    if (j < 0) {
      sa[i] = ~(j + 1)
      continue
    }
    const next = at(text, j)
    if (next !== c) {
      cursor[c] = b
      c = next
      b = at(cursor, c)
    }
    sa[--b] = j === 0 || at(text, j - 1) > c ? ~j : j
  }
}

/** First place of every symbol's bucket. */
function toStarts(counts: Int32Array, cursor: Int32Array): void {
  let sum = 0
  for (let c = 0; c < counts.length; c++) {
    cursor[c] = sum
    sum += at(counts, c)
  }
}

/** Place after every symbol's bucket. */
function toEnds(counts: Int32Array, cursor: Int32Array): void {
  let sum = 0
  for (let c = 0; c < counts.length; c++) {
    sum += at(counts, c)
    cursor[c] = sum
  }
}

const at = (array: Int32Array, index: number): number => array[index] as number
