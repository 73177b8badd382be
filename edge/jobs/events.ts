import type { Hex } from '#protocol/bytes.ts'
import { chainWriter } from '../chain/enqueue.ts'
import { chainIndexer } from '../chain/indexer.ts'
import { outcomeOfEvent } from '../chain/outcome.ts'
import type { Ctx } from '../context.ts'
import type { TxEvent } from '../http/messages.ts'
import { registrationEnded } from '../models/completion.ts'
import { receiptBatcher } from '../settlement/receipt-batcher.ts'
import { receiptInboxes } from '../settlement/receipt-inbox.ts'

/** `epoch:<number>:<data hash>` and `refund:<...>`: an epoch's transaction has ended. Idempotent. */
export const onEpochTx = async ({ env }: Ctx, { key }: TxEvent): Promise<void> =>
  receiptBatcher(env).transactionEnded(Number(key.split(':', 2)[1]))

/** `adapter:<digest>`: an adapter's registration has ended. Idempotent. */
export const onAdapterTx = (ctx: Ctx, tx: TxEvent): Promise<void> =>
  registrationEnded(ctx, tx.key.slice('adapter:'.length) as Hex, outcomeOfEvent(tx))

/** Wakes the objects whose alarms the platform may have given up on. */
export async function wakeObjects(ctx: Ctx): Promise<number> {
  await Promise.all([
    chainWriter(ctx).poke(),
    ...receiptInboxes(ctx.env).map((inbox) => inbox.poke()),
    receiptBatcher(ctx.env).poke(),
    chainIndexer(ctx.env).poke(),
  ])
  return 0
}
