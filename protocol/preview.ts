import { z } from 'zod'
import { bytes32, recordFields } from './wire.ts'

/** What training makes of records, as a gpu-worker tells the edge: only it has the tokenizer. */

/** Records of one preview: a page to look at, and little enough work to do while serving. */
export const MAX_PREVIEW_RECORDS = 100

/** edge -> gpu-worker: tokenize records as a job of this base would. */
export const previewRequest = z.object({
  base: bytes32,
  records: z.array(recordFields).min(1).max(MAX_PREVIEW_RECORDS),
  sequenceLength: z.int().min(1),
})
export type PreviewRequest = z.infer<typeof previewRequest>

/** A stretch of a rendered record, control tokens written out. */
const previewSpan = z.object({
  text: z.string(),
  tokens: z.int(),
  /** The model learns to write it. */
  trained: z.boolean(),
  /** It lies beyond the sequence length: training never sees it. */
  cut: z.boolean(),
})

export const previewRow = z.object({
  /** Of the whole record. */
  tokens: z.int(),
  /** Targets within the sequence length. */
  trainedTokens: z.int(),
  /** Beyond the sequence length. */
  cutTokens: z.int(),
  /** Token ids within the sequence length, and for each 1 where predicting it is part of the loss. */
  ids: z.array(z.int()),
  mask: z.array(z.union([z.literal(0), z.literal(1)])),
  spans: z.array(previewSpan),
})
export type PreviewRow = z.infer<typeof previewRow>

/** gpu-worker -> edge: one row per record, in the same order. */
export const previewReply = z.object({ rows: z.array(previewRow) })
