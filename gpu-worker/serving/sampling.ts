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

type Candidate = { token: number; weight: number }

/** Draws a token: temperature, then top-k, top-p and min-p, as Hugging Face's generate does. `random` is uniform in [0, 1). */
export function sample(logits: Float32Array, sampling: Sampling, random: () => number): number {
  const best = argmax(logits)
  if (sampling.temperature === 0) return best
  const weights = softWeights(logits, logits[best] as number, sampling.temperature)
  const chosen =
    sampling.topP < 1 || (sampling.topK > 0 && sampling.topK < logits.length)
      ? likeliest(weights, sampling)
      : Array.from(weights, (weight, token) => ({ token, weight }))
  // The likeliest token has weight 1, so that min-p is a weight.
  const { minP = 0 } = sampling
  const kept = minP > 0 ? chosen.filter(({ weight }) => weight >= minP) : chosen
  let left = random() * totalOf(kept)
  for (const { token, weight } of kept) {
    left -= weight
    if (left < 0) return token
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

/** Unnormalised probabilities; subtracting the largest logit keeps them finite at any temperature. */
function softWeights(logits: Float32Array, largest: number, temperature: number): Float64Array {
  const weights = new Float64Array(logits.length)
  for (let i = 0; i < logits.length; i++)
    weights[i] = Math.exp(((logits[i] as number) - largest) / temperature)
  return weights
}

/** The top k, and of them the smallest set that reaches the share p; by falling weight, ties by token. */
function likeliest(weights: Float64Array, { topK, topP }: Sampling): Candidate[] {
  const k = topK > 0 ? Math.min(topK, weights.length) : weights.length
  // Sorting a whole vocabulary per token costs more than computing it: what cannot be kept is dropped first.
  const floor = k < weights.length ? (weights.toSorted()[weights.length - k] as number) : 0
  const total = k < weights.length ? sumAbove(weights, floor) : sumAbove(weights, 0)
  // Tokens below this share could all be left out and the rest would still reach p.
  const negligible = ((1 - topP) * total) / Math.max(1, weights.length - 1)
  const candidates: Candidate[] = []
  for (let token = 0; token < weights.length; token++) {
    const weight = weights[token] as number
    if (weight >= floor && weight > 0 && weight >= negligible) candidates.push({ token, weight })
  }
  candidates.sort((a, b) => b.weight - a.weight || a.token - b.token)
  return nucleus(candidates.slice(0, k), topP, total)
}

/** The shortest beginning of falling candidates that reaches a share of the total; at least one. */
function nucleus(candidates: readonly Candidate[], share: number, total: number): Candidate[] {
  if (share >= 1) return [...candidates]
  let sum = 0
  const enough = candidates.findIndex(({ weight }) => (sum += weight) >= share * total)
  return enough < 0 ? [...candidates] : candidates.slice(0, enough + 1)
}

function sumAbove(weights: Float64Array, floor: number): number {
  let sum = 0
  for (const weight of weights) if (weight >= floor) sum += weight
  return sum
}

const totalOf = (candidates: readonly Candidate[]): number => {
  let sum = 0
  for (const { weight } of candidates) sum += weight
  return sum
}
