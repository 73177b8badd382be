import licences from 'spdx-license-list/full.js'
import { randomSource } from '#engine/random.ts'
import type { Tokenizer } from '#gpu-worker/tokenizer.ts'

/**
 * Text for bench:spans without end: records and answers that wander through real licence texts, phrase by phrase. From
 * the end of a phrase they go on after any other occurrence of its last word, so that common phrases are common.
 */
export type TextSource = {
  /** Token ids of the next record. */
  record: () => Uint16Array
  /** Token ids of an answer of so many tokens, with stretches copied from the given records. */
  answer: (tokens: number, records: readonly Uint16Array[]) => number[]
}

const RECORD_TOKENS = 100
const PHRASE_TOKENS = 6
/** Stretches that an answer copies from records, of this many tokens each. */
const COPIES = 4
const COPIED_TOKENS = 24

/** Opens a source over the tokens of the first licences; the same seed gives the same text. */
export function licenceText(tokenizer: Tokenizer, seed: number): TextSource {
  const random = randomSource(seed)
  const below = (n: number) => Math.floor(random() * n)
  const stream = Uint16Array.from(
    Object.values(licences)
      .slice(0, 200)
      .flatMap(({ licenseText }) => tokenizer.encodeRendered(licenseText)),
  )
  const places = new Map<number, number[]>()
  stream.forEach((token, at) => {
    const known = places.get(token)
    if (known) known.push(at)
    else places.set(token, [at])
  })
  const fill = (into: Uint16Array) => {
    let at = below(stream.length)
    for (let i = 0; i < into.length; i++) {
      into[i] = stream[at] ?? 0
      if (below(PHRASE_TOKENS) === 0) {
        const others = places.get(into[i] ?? 0) ?? [at]
        at = others[below(others.length)] ?? at
      }
      at = (at + 1) % stream.length
    }
    return into
  }
  return {
    record: () => fill(new Uint16Array(RECORD_TOKENS)),
    answer: (tokens, records) => {
      const answer = fill(new Uint16Array(tokens))
      for (let i = 0; i < COPIES; i++) {
        const copied = records[below(records.length)]?.subarray(0, COPIED_TOKENS)
        if (copied) answer.set(copied, Math.floor((i * tokens) / COPIES))
      }
      return [...answer]
    },
  }
}
