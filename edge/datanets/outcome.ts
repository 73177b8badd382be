import type { Hex } from '#protocol/bytes.ts'
import type { TransactionStatus } from '../chain/outbox.ts'
import type { TxEvent } from '../http/messages.ts'

/** How a transaction ended. */
export type Outcome =
  | { status: 'success'; txHash: Hex; blockNumber: number }
  | { status: 'reverted'; reason: string }

export const outcomeOfEvent = (tx: TxEvent): Outcome =>
  tx.status === 'success'
    ? { status: 'success', txHash: tx.txHash, blockNumber: tx.blockNumber }
    : { status: 'reverted', reason: tx.reason ?? 'the transaction was reverted' }

/** The outcome that a writer's status shows, or null while there is none. */
export function outcomeOfStatus(status: TransactionStatus): Outcome | null {
  if (status.status === 'success' && status.txHash !== null && status.blockNumber !== null)
    return { status: 'success', txHash: status.txHash, blockNumber: status.blockNumber }
  if (status.status === 'reverted')
    return { status: 'reverted', reason: status.reason ?? 'the transaction was reverted' }
  return null
}
