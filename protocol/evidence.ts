import { z } from 'zod'
import { generateError } from './generation.ts'
import { address, bytes32, decimal, query, signedDecimal, uint32 } from './wire.ts'

/**
 * What became of a stretch that an answer shares with records.
 * prompt_echo: the words stand in the prompt. boilerplate: too many clusters hold them. covered: more informative
 * credited spans have their words, or most of them. below_floor: they say no more than any text of this kind.
 */
export const spanVerdict = z.enum([
  'credited',
  'prompt_echo',
  'boilerplate',
  'covered',
  'below_floor',
])
export type SpanVerdict = z.infer<typeof spanVerdict>

/** edge -> gpu-worker: what do the indexes say of these records for an answer given earlier? */
export const evidenceRequest = z.object({
  base: bytes32,
  adapter: z.object({ digest: bytes32, manifest: bytes32 }),
  /** The receipt's query vector, and its time: records count as revoked or not as they were then. */
  query,
  time: z.int(),
  /** Prompt and answer, while they are kept. */
  texts: z.object({ prompt: z.string(), tokens: z.array(uint32) }).nullable(),
  records: z.array(bytes32).max(100).default([]),
  clusters: z.array(bytes32).max(100).default([]),
  contributor: address.optional(),
  /** Rows to tell about, of those with the most influence. */
  limit: z.int().min(1).max(100),
})
export type EvidenceRequest = z.infer<typeof evidenceRequest>

/** gpu-worker -> edge: the evidence of rows of an index; `spans` and `text` are null without texts. */
export const evidence = z.object({
  /** Rows of the index, and how many of them were asked for. */
  rows: z.int(),
  selected: z.int(),
  evidence: z.array(
    z.object({
      record: bytes32,
      cluster: bytes32,
      contributor: address,
      influence: signedDecimal,
      significance: signedDecimal,
      /** Place by influence among all rows, from 1. */
      rank: z.int(),
      text: decimal.nullable(),
      spans: z
        .array(
          z.object({
            outputStart: uint32,
            length: uint32,
            /** Millinats that no more informative credited span covers. */
            information: z.int(),
            verdict: spanVerdict,
            /** Clusters that hold it; counting stops where it is boilerplate. */
            holders: z.int(),
          }),
        )
        .nullable(),
    }),
  ),
})
export type Evidence = z.infer<typeof evidence>

/** gpu-worker -> edge in answer to an evidenceRequest. */
export const evidenceReply = z.union([evidence, generateError])
