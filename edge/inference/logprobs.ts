import { z } from '@hono/zod-openapi'
import type { TokenLogprobs } from '#protocol/generation.ts'

/** Log-probabilities in OpenAI's two forms; `bytes` is null for a token that is a part of a character only. */

const chatToken = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()).nullable(),
})
export const chatLogprobsSchema = z.object({
  content: z.array(chatToken.extend({ top_logprobs: z.array(chatToken) })),
  refusal: z.null(),
})
export const textLogprobsSchema = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number()),
  top_logprobs: z.array(z.record(z.string(), z.number())),
  text_offset: z.array(z.int()),
})

/** The form of /v1/chat/completions. */
export const chatLogprobs = (
  told: readonly TokenLogprobs[],
): z.infer<typeof chatLogprobsSchema> => ({
  content: told.map(({ top, ...chosen }) => ({
    ...withBytes(chosen),
    top_logprobs: top.map(withBytes),
  })),
  refusal: null,
})

const PART = '\u{FFFD}'
const encoder = new TextEncoder()
const withBytes = ({ token, logprob }: { token: string; logprob: number }) => ({
  token,
  logprob,
  bytes: token.includes(PART) ? null : [...encoder.encode(token)],
})

/** The form of /v1/completions, for tokens of which the first begins at an offset into the answer. */
export function textLogprobs(
  told: readonly TokenLogprobs[],
  offset: number,
): z.infer<typeof textLogprobsSchema> {
  let at = offset
  return {
    tokens: told.map(({ token }) => token),
    token_logprobs: told.map(({ logprob }) => logprob),
    top_logprobs: told.map(({ top }) =>
      Object.fromEntries(top.map(({ token, logprob }) => [token, logprob])),
    ),
    text_offset: told.map(({ token }) => {
      const begins = at
      at += token.length
      return begins
    }),
  }
}
