import type { ParameterValues } from '#protocol/parameters.ts'
import type { Receipt, ReceiptRow } from '#protocol/receipt.ts'
import type { Evidence } from '#protocol/evidence.ts'
import type { Revocation } from '#protocol/revocations.ts'

/** Why a record is paid for an answer, or not. */
export const REASONS = {
  paid: 'Its weight passed the thresholds.',
  below_threshold:
    'It has some signal, but less than the governed significance, than the rows that were listed, or than a payment is worth.',
  no_signal: 'Neither its gradient nor its words speak for it.',
  duplicate_of: 'Its near-duplicate cluster is credited through an earlier record.',
  prompt_echo: 'The words that it shares with the answer stand in the prompt.',
  boilerplate: 'The words that it shares with the answer are held by too many clusters.',
  revoked: 'Its contributor had taken it back before the answer.',
  penalized: 'Curation had rejected the batch that it came in before the answer.',
  not_indexed: 'The model was not trained on it.',
} as const satisfies Record<string, string>
export type Reason = keyof typeof REASONS

export type RowEvidence = Evidence['evidence'][number]

/** The reason of a row that the receipt lists. */
export const reasonOfListed = ({ amount }: Pick<ReceiptRow, 'amount'>): Reason =>
  amount > 0n ? 'paid' : 'below_threshold'

/**
 * The reason of a row of the index that the receipt does not list. A revocation decides; then influence that stands out;
 * then what became of the shared words; then influence that does not stand out.
 */
export function reasonOfUnlisted(
  { influence, significance, text, spans }: RowEvidence,
  values: ParameterValues | null,
  revocation: Revocation | null,
): Reason {
  if (revocation) return revocation.reason
  const tau = values?.['attribution.significance']
  if (influence > 0n && tau !== undefined && significance >= tau) return 'below_threshold'
  if (text !== null && text > 0n) return 'below_threshold'
  const verdicts = new Set(spans?.map(({ verdict }) => verdict))
  if (verdicts.has('prompt_echo')) return 'prompt_echo'
  if (verdicts.has('boilerplate')) return 'boilerplate'
  return influence > 0n || verdicts.size > 0 ? 'below_threshold' : 'no_signal'
}

/** The governed numbers that a row had to reach; null where they are no longer those of the receipt. */
export const thresholdsOf = ({ floor }: Receipt, values: ParameterValues | null) => ({
  significance: values && values['attribution.significance'].toString(),
  /** Influence above which every significant row is listed. */
  influence: floor.toString(),
  min_share: values && values['attribution.minShare'].toString(),
  coverage: values && values['attribution.coverage'].toString(),
  top_k: values && Number(values['attribution.topK']),
  row_cost: values && values['settlement.rowCost'].toString(),
})
