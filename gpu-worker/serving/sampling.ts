/** Choosing the next token from logits. */

export type Sampling = {
  /** 0 is greedy. */
  temperature: number
  /** Smallest set of likeliest tokens whose probability reaches this; 1 keeps all. */
  topP: number
  /** Number of likeliest tokens kept; 0 keeps all. */
  topK: number
}

/** Draws a token: temperature, then top-k, then top-p, as Hugging Face's generate does. `random` is uniform in [0, 1). */
export function sample(logits: Float32Array, sampling: Sampling, random: () => number): number {
  if (sampling.temperature === 0) return argmax(logits)
  const kept = candidates(logits, sampling)
  // Subtracting the largest logit keeps the exponentials finite at any temperature.
  const largest = logits[kept[0] as number] as number
  const weights = kept.map((token) =>
    Math.exp(((logits[token] as number) - largest) / sampling.temperature),
  )
  const nucleus = nucleusSize(weights, sampling.topP)
  let left = random() * weights.slice(0, nucleus).reduce((a, b) => a + b, 0)
  for (let i = 0; i < nucleus; i++) {
    left -= weights[i] as number
    if (left < 0) return kept[i] as number
  }
  return kept[nucleus - 1] as number
}

/** Index of the largest logit; the first of equals. */
export function argmax(logits: Float32Array): number {
  let best = 0
  for (let i = 1; i < logits.length; i++)
    if ((logits[i] as number) > (logits[best] as number)) best = i
  return best
}

/** Tokens by falling logit (ties by id): the top k, or all. Those at minus infinity are never candidates. */
function candidates(logits: Float32Array, { topK }: Sampling): number[] {
  const tokens: number[] = []
  for (let i = 0; i < logits.length; i++) if (logits[i] !== Number.NEGATIVE_INFINITY) tokens.push(i)
  tokens.sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b)
  return topK > 0 ? tokens.slice(0, topK) : tokens
}

/** How many of the falling weights are needed to reach a share of their sum; at least one. */
function nucleusSize(weights: readonly number[], share: number): number {
  if (share >= 1) return weights.length
  const enough = share * weights.reduce((a, b) => a + b, 0)
  let sum = 0
  for (let i = 0; i < weights.length; i++) {
    sum += weights[i] as number
    if (sum >= enough) return i + 1
  }
  return weights.length
}
