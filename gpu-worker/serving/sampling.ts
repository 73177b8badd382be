/** Choosing the next token from logits. */

export type Sampling = {
  /** 0 is greedy. */
  temperature: number
  /** Smallest set of likeliest tokens whose probability reaches this; 1 keeps all. */
  topP: number
  /** Number of likeliest tokens kept; 0 keeps all. */
  topK: number
  /** Tokens less likely than this share of the likeliest are dropped (Nguyen et al. 2024, min-p); 0 keeps all. */
  minP?: number | undefined
}

/** Draws a token: temperature, then top-k, top-p and min-p, as Hugging Face's generate does. `random` is uniform in [0, 1). */
export function sample(logits: Float32Array, sampling: Sampling, random: () => number): number {
  const best = argmax(logits)
  const { temperature, topK, topP, minP = 0 } = sampling
  if (temperature === 0) return best
  const largest = logits[best] as number
  // Subtracting the largest logit keeps weights finite; the likeliest token has weight 1, so that min-p is a weight.
  const weightOf = (token: number): number =>
    Math.exp(((logits[token] as number) - largest) / temperature)
  const isCut = topP < 1 || (topK > 0 && topK < logits.length)
  const tokens = isCut ? likeliest(logits, { topK, topP }, weightOf) : null
  const count = tokens ? tokens.length : logits.length
  const weights = scratchOf(count)
  let total = 0
  for (let i = 0; i < count; i++) {
    const weight = weightOf(tokens ? (tokens[i] as number) : i)
    total += weights[i] = weight >= minP ? weight : 0
  }
  let left = random() * total
  for (let i = 0; i < count; i++) {
    left -= weights[i] as number
    if (left < 0) return tokens ? (tokens[i] as number) : i
  }
  return best // what rounding leaves at the very end of the range
}

/** Index of the largest logit; the first of equals. */
export function argmax(logits: Float32Array): number {
  let best = 0
  for (let i = 1; i < logits.length; i++)
    if ((logits[i] as number) > (logits[best] as number)) best = i
  return best
}

/** The k tokens with the largest logits, falling; ties by token. */
export function topTokens(logits: Float32Array, k: number): Int32Array {
  if (k > MOST_INSERTED)
    return Int32Array.from(logits.keys())
      .sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b)
      .subarray(0, k)
  const top = new Int32Array(k)
  let found = 0
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] as number
    if (found === k && logit <= (logits[top[k - 1] as number] as number)) continue
    let at = found < k ? found++ : k - 1
    for (; at > 0 && logit > (logits[top[at - 1] as number] as number); at--)
      top[at] = top[at - 1] as number
    top[at] = token
  }
  return top.subarray(0, found)
}

/** Inserting into so many sorted tokens is cheaper than sorting a vocabulary. */
const MOST_INSERTED = 256
const FIRST_TRIED = 32

/** The top k, and of them the smallest set that reaches the share p; falling. */
function likeliest(
  logits: Float32Array,
  { topK, topP }: Pick<Sampling, 'topK' | 'topP'>,
  weightOf: (token: number) => number,
): Int32Array {
  const k = topK > 0 ? Math.min(topK, logits.length) : logits.length
  if (topP >= 1) return topTokens(logits, k)
  const bounded = topK > 0 ? topTokens(logits, k) : null
  let total = 0
  if (bounded) for (const token of bounded) total += weightOf(token)
  else for (let token = 0; token < k; token++) total += weightOf(token)
  // Most often few tokens reach the share: more are sorted only when they are needed.
  for (let tried = bounded ? k : FIRST_TRIED; ; tried *= FIRST_TRIED) {
    const tokens = bounded ?? topTokens(logits, Math.min(tried, k))
    let sum = 0
    const last = tokens.findIndex((token) => (sum += weightOf(token)) >= topP * total)
    if (last >= 0) return tokens.subarray(0, last + 1)
    if (tokens.length === k) return tokens
  }
}

/** Reused between draws: a vocabulary's weights per token drawn would keep the collector busy. */
let scratch = new Float64Array()
function scratchOf(size: number): Float64Array {
  if (scratch.length < size) scratch = new Float64Array(size)
  return scratch
}
