/**
 * Lexical ranking: BM25 (Robertson, Zaragoza, "The Probabilistic Relevance Framework", 2009) with Lucene's idf, which
 * is never negative.
 *
 *   score(q, d) = sum over terms t of q: ln(1 + (N - n_t + 1/2) / (n_t + 1/2)) * f / (f + k1 (1 - b + b |d| / mean))
 */
const K1 = 1.2
const B = 0.75

export type Bm25 = {
  /** The documents that share a term with the query and are wanted, best first; ties by the smaller index. */
  rank: (
    query: string,
    most: number,
    isWanted?: (document: number) => boolean,
  ) => { document: number; score: number }[]
}

/** Words of a text in one case and form. */
export const termsOf = (text: string): string[] =>
  text
    .normalize('NFKC')
    .toLowerCase()
    .match(/[\p{L}\p{N}]+/gu) ?? []

/** Indexes documents; they are named by their place. */
export function buildBm25(documents: readonly string[]): Bm25 {
  /** Per term: document, count, document, count, ... */
  const postings = new Map<string, number[]>()
  const lengths = new Float64Array(documents.length)
  documents.forEach((text, document) => {
    const counts = new Map<string, number>()
    for (const term of termsOf(text)) counts.set(term, (counts.get(term) ?? 0) + 1)
    for (const [term, count] of counts) {
      lengths[document] = (lengths[document] ?? 0) + count
      const known = postings.get(term)
      if (known) known.push(document, count)
      else postings.set(term, [document, count])
    }
  })
  const mean = lengths.reduce((a, b) => a + b, 0) / Math.max(1, documents.length)
  return {
    rank: (query, most, isWanted = () => true) => {
      const scores = new Map<number, number>()
      for (const term of new Set(termsOf(query))) {
        const found = postings.get(term) ?? []
        const holders = found.length / 2
        const idf = Math.log(1 + (documents.length - holders + 0.5) / (holders + 0.5))
        for (let i = 0; i < found.length; i += 2) {
          const document = found[i] as number
          const count = found[i + 1] as number
          const norm = K1 * (1 - B + (B * (lengths[document] as number)) / mean)
          const gain = (idf * count) / (count + norm)
          scores.set(document, (scores.get(document) ?? 0) + gain)
        }
      }
      return [...scores]
        .filter(([document]) => isWanted(document))
        .map(([document, score]) => ({ document, score }))
        .toSorted((a, b) => b.score - a.score || a.document - b.document)
        .slice(0, most)
    },
  }
}
