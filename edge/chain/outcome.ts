import type { Hex } from '#protocol/bytes.ts'
import type { TxEvent } from '../http/messages.ts'
import type { TransactionStatus } from './outbox.ts'

/** How a transaction ended. */
export type Outcome =
  | { status: 'success'; txHash: Hex; blockNumber: number }
  | { status: 'reverted'; reason: string }

/** The outcome that a message tells. */
export const outcomeOfEvent = (tx: TxEvent): Outcome =>
  tx.status === 'success'
    ? { status: 'success', txHash: tx.txHash, blockNumber: tx.blockNumber }
    : reverted(tx)

/** The outcome that a writer's status shows, or null while there is none. */
export function outcomeOfStatus(status: TransactionStatus): Outcome | null {
  if (status.status === 'success' && status.txHash !== null && status.blockNumber !== null)
    return { status: 'success', txHash: status.txHash, blockNumber: status.blockNumber }
  return status.status === 'reverted' ? reverted(status) : null
}

const reverted = ({ reason }: { reason?: string | null }): Outcome => ({
  status: 'reverted',
  reason: reason ?? 'the transaction was reverted',
})
