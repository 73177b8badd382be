import { ZERO_HASH } from './bytes.ts'
import type { ParameterValues } from './parameters.ts'
import type { Receipt } from './receipt.ts'
import { citationAmounts, methodOf, splitFee } from './score.ts'

/**
 * Why a receipt's money is not what its own rows and the governed numbers give, or null: the split of the fee, what
 * citations get, which rows are listed in which order, the floor, every amount. What the rows say (scores, texts) is
 * taken as it is. The same that `challengeShares`, `challengeCitations` and `challengeListing` show on chain.
 */
export function sharesFault(receipt: Receipt, values: ParameterValues): string | null {
  if (receipt.fee >> 128n !== 0n) return 'the fee is more than there is of OPEN'
  const { citations } = receipt
  const split = splitFee(receipt.fee, values, citations.length)
  const isBase = receipt.adapter === ZERO_HASH
  // Nobody contributed to a bare base: its owner gets the contributors' part.
  const model = isBase ? split.model + split.contributors : split.model
  if (
    receipt.platform !== split.platform ||
    receipt.stakers !== split.stakers ||
    receipt.retrieval !== split.retrieval ||
    receipt.model !== model
  )
    return 'the split is not the governed one'
  if (new Set(citations.map(({ cluster }) => cluster)).size < citations.length)
    return 'a cluster is cited twice'
  const cited = citationAmounts(split.retrieval, citations.length)
  for (const [i, { amount }] of citations.entries())
    if (amount !== cited[i]) return `citation ${i} gets ${amount} wei, not ${cited[i]}`
  if (isBase)
    return receipt.rows.length > 0 || receipt.unattributed > 0n
      ? 'a bare base has contributors'
      : null

  const { shortlist, allocate } = methodOf(receipt.methodVersion)
  if (new Set(receipt.rows.map(({ cluster }) => cluster)).size < receipt.rows.length)
    return 'a cluster is listed twice'
  const listed = shortlist(receipt.rows, values)
  if (listed.rows.length < receipt.rows.length)
    return `${receipt.rows.length - listed.rows.length} rows do not belong on the shortlist`
  if (listed.floor !== receipt.floor) return `the floor is ${receipt.floor}, not ${listed.floor}`
  const fair = allocate(split.contributors, receipt.rows, receipt, values)
  for (const [i, { cluster, amount }] of receipt.rows.entries()) {
    const expected = fair.rows[i]
    if (expected?.cluster !== cluster) return `row ${i} is not the one with the next lower weight`
    if (expected.amount !== amount) return `row ${i} gets ${amount} wei, not ${expected.amount}`
  }
  return receipt.unattributed === fair.unattributed
    ? null
    : `${receipt.unattributed} wei are unattributed, not ${fair.unattributed}`
}
