import { newId } from '#protocol/ids.ts'
import { app } from './app.ts'
import { log, makeCtx, type Ctx } from './context.ts'
import type { Env } from './env.ts'
import { consume } from './http/consume.ts'
import { eventMessage, type EventMessage, type TxEvent } from './http/messages.ts'

export { Account } from './accounts/account.ts'
export { ChainWriter } from './chain/writer.ts'
export { JobFeed } from './jobs/job-feed.ts'
export { ReceiptBatcher } from './settlement/receipt-batcher.ts'

/** What follows a transaction, by the first word of its outbox key. */
const ON_TX: Record<string, (ctx: Ctx, tx: TxEvent) => Promise<void>> = {}

/** What the scheduled sweep runs, in order; each alone, so that one failure stops no other.
 * A sweep answers how many things it found to do. */
const SWEEPS: Record<string, (ctx: Ctx) => Promise<number>> = {}

const onEvent = async (ctx: Ctx, event: EventMessage) => {
  const domain = event.key.split(':', 1)[0] ?? ''
  const handler = ON_TX[domain]
  if (!handler) throw new Error(`no handler for transactions of "${domain}"`)
  await handler(ctx, event)
}

export default {
  fetch: app.fetch,

  async queue(batch, env, execution) {
    if (batch.queue === 'openledger-events')
      await consume(batch, env, execution, { parse: eventMessage.parse, handle: onEvent })
  },

  async scheduled(_controller, env, execution) {
    const requestId = newId('request')
    for (const [name, sweep] of Object.entries(SWEEPS)) {
      const started = Date.now()
      const line = { requestId, sweep: name }
      try {
        const found = await sweep(
          makeCtx(env, execution, { actor: { kind: 'system', name }, requestId }),
        )
        log('info', { ...line, outcome: 'done', found, ms: Date.now() - started })
      } catch (error) {
        log('error', { ...line, outcome: 'failed', ms: Date.now() - started, error })
      }
    }
  },
} satisfies ExportedHandler<Env>
