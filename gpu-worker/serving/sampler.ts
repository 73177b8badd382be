/**
 * The sampler of one request: logit bias, penalties for what has been said, the draw itself, log-probabilities. It owns
 * its random numbers and counts, so that a seed gives the same answer whatever batch the request runs in.
 */
import { randomSource } from '#engine/random.ts'
import { sample, topTokens, type Sampling } from './sampling.ts'

export type SamplerOptions = Sampling & {
  /** Divides positive and multiplies negative logits of tokens in prompt and answer (Keskar et al. 2019); 1 is none. */
  repetitionPenalty?: number | undefined
  /** Subtracted once per earlier occurrence in the answer, and once when there is any (OpenAI); 0 is none. */
  frequencyPenalty?: number | undefined
  presencePenalty?: number | undefined
  /** Added to logits, by token. */
  logitBias?: Readonly<Record<string, number>> | undefined
  /** Number of likeliest alternatives whose log-probabilities are told with each token's; absent tells none. */
  logprobs?: number | undefined
}

/** Natural logarithms under the model's own distribution, before bias, penalties and temperature. */
export type TokenLogprobs = {
  token: number
  logprob: number
  top: { token: number; logprob: number }[]
}

/** Draws the next token from a row of logits, which is left as it is. */
export type Sampler = (logits: Float32Array) => { token: number; logprobs: TokenLogprobs | null }

/** A sampler at the end of a prompt. */
export function createSampler(
  options: SamplerOptions,
  seed: number,
  prompt: readonly number[],
): Sampler {
  const random = randomSource(seed)
  const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0, logitBias } = options
  const bias = Object.entries(logitBias ?? {}).map(([token, by]) => [Number(token), by] as const)
  const seen = new Set(repetitionPenalty === 1 ? [] : prompt)
  const counts = new Map<number, number>() // of the tokens drawn
  const isPlain =
    repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0 && bias.length === 0

  // Bias, then penalties: the order of vLLM.
  const adjusted = (logits: Float32Array): Float32Array => {
    const changed = Float32Array.from(logits)
    const change = (token: number, to: (logit: number) => number): void => {
      const logit = changed[token]
      if (logit !== undefined) changed[token] = to(logit)
    }
    for (const [token, by] of bias) change(token, (logit) => logit + by)
    for (const token of seen)
      change(token, (logit) => (logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty))
    for (const [token, count] of counts)
      change(token, (logit) => logit - frequencyPenalty * count - presencePenalty)
    return changed
  }

  return (logits) => {
    const token = sample(isPlain ? logits : adjusted(logits), options, random)
    if (!isPlain) {
      if (repetitionPenalty !== 1) seen.add(token)
      counts.set(token, (counts.get(token) ?? 0) + 1)
    }
    const logprobs =
      options.logprobs === undefined ? null : describe(logits, token, options.logprobs)
    return { token, logprobs }
  }
}

function describe(logits: Float32Array, token: number, alternatives: number): TokenLogprobs {
  const likeliest = [...topTokens(logits, Math.max(1, alternatives))]
  const largest = logits[likeliest[0] ?? 0] ?? 0
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - largest)
  const normaliser = largest + Math.log(sum)
  const logprob = (of: number) => (logits[of] ?? -Infinity) - normaliser
  return {
    token,
    logprob: logprob(token),
    top: likeliest.slice(0, alternatives).map((of) => ({ token: of, logprob: logprob(of) })),
  }
}
