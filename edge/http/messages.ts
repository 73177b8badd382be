import { z } from 'zod'
import { bytes32 } from '#protocol/wire.ts'

/** Bodies of the CONTRIBUTIONS queue: ids only, because a message holds at most 128 KB. */
export const contributionMessage = z.discriminatedUnion('type', [
  z.object({ type: z.literal('contribution'), id: z.string() }),
  z.object({ type: z.literal('version'), id: z.string() }),
])
export type ContributionMessage = z.infer<typeof contributionMessage>

/**
 * Bodies of the EVENTS queue. A transaction is final for us: mined with success, or mined and reverted.
 * `key` is the outbox key under which it was enqueued, `<domain>:<id>...`; the domain picks the handler.
 */
const txEvent = z.object({
  type: z.literal('tx'),
  key: z.string(),
  status: z.enum(['success', 'reverted']),
  txHash: bytes32,
  blockNumber: z.int().min(0),
  /** Decoded reason of a revert. */
  reason: z.string().optional(),
})
export type TxEvent = z.infer<typeof txEvent>

export const eventMessage = z.discriminatedUnion('type', [txEvent])
export type EventMessage = z.infer<typeof eventMessage>
