/** What training would make of records: their tokens, which of them it learns to write, and what it cuts off. */
import { setImmediate } from 'node:timers/promises'
import type { PreviewRequest, PreviewRow } from '#protocol/preview.ts'
import type { RecordFields } from '#protocol/wire.ts'
import type { BaseIdentity } from '../base-model.ts'
import { loadTokenizer, type Tokenizer } from '../tokenizer.ts'
import { tokenizeRecord, withTargets } from './examples.ts'

/** Previews records of one base, in a thread that serves HTTP too: it yields after every record. */
export function openPreview(
  base: BaseIdentity,
): (request: PreviewRequest) => Promise<PreviewRow[]> {
  let tokenizer: Promise<Tokenizer> | undefined
  return async ({ base: digest, records, sequenceLength }) => {
    if (digest !== base.digest) throw new Error(`this worker has the base ${base.digest}`)
    const loaded = await (tokenizer ??= loadTokenizer(base.directory))
    const rows: PreviewRow[] = []
    for (const fields of records) {
      rows.push(previewRecord(fields, loaded, sequenceLength))
      await setImmediate() // lets other requests in
    }
    return rows
  }
}

/** Exactly what a job with this sequence length would train on. */
export function previewRecord(
  fields: RecordFields,
  tokenizer: Tokenizer,
  sequenceLength: number,
): PreviewRow {
  const pieces = tokenizeRecord(fields, tokenizer)
  const { tokens, targets } = withTargets(pieces)
  const mask = Array.from(targets.subarray(0, sequenceLength), (flag) => (flag === 1 ? 1 : 0))
  const spans: PreviewRow['spans'] = []
  let start = 0
  for (const piece of pieces) {
    const kept = Math.min(piece.tokens.length, Math.max(0, sequenceLength - start))
    for (const [part, cut] of [
      [piece.tokens.slice(0, kept), false],
      [piece.tokens.slice(kept), true],
    ] as const)
      if (part.length > 0)
        spans.push({
          text: tokenizer.decodeRendered(part),
          tokens: part.length,
          trained: piece.trained,
          cut,
        })
    start += piece.tokens.length
  }
  return {
    tokens: tokens.length,
    trainedTokens: mask.reduce<number>((n, flag) => n + flag, 0),
    cutTokens: Math.max(0, tokens.length - sequenceLength),
    ids: tokens.slice(0, sequenceLength),
    mask,
    spans,
  }
}
