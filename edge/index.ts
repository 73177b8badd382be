import { newId } from '#protocol/ids.ts'
import { app } from './app.ts'
import { sweepNonces } from './auth/login.ts'
import { makeCtx, type Ctx } from './context.ts'
import { log } from './log.ts'
import { sweepTexts } from './custody/texts.ts'
import { buildVersion } from './datanets/build-version.ts'
import { onRevocationTx, sendRevocations } from './datanets/revocation-calls.ts'
import { sweepRejected } from './datanets/revocations.ts'
import { buryContribution, processContribution } from './datanets/process.ts'
import {
  onContributionTx,
  onDatanetTx,
  onVersionTx,
  sweepAnchors,
  sweepInbox,
} from './datanets/sweep.ts'
import { failVersion } from './datanets/versions.ts'
import type { Env } from './env.ts'
import { consumer, type Consumer } from './http/consume.ts'
import {
  contributionMessage,
  eventMessage,
  type EventMessage,
  type TxEvent,
} from './http/messages.ts'
import { onAdapterTx, onEpochTx, wakeObjects } from './jobs/events.ts'
import { expireLeases } from './jobs/leases.ts'
import { sweepRegistrations } from './models/completion.ts'
import { keepReconciliation } from './settlement/reconciliation.ts'

export { Account } from './accounts/account.ts'
export { ChainIndexer } from './chain/indexer.ts'
export { ChainWriter } from './chain/writer.ts'
export { JobFeed } from './jobs/job-feed.ts'
export { ReceiptBatcher } from './settlement/receipt-batcher.ts'
export { ReceiptInbox } from './settlement/receipt-inbox.ts'

/** What follows a transaction, by the first word of its outbox key. */
const ON_TX: Record<string, (ctx: Ctx, tx: TxEvent) => Promise<void>> = {
  datanet: onDatanetTx,
  contribution: onContributionTx,
  version: onVersionTx,
  revocation: onRevocationTx,
  adapter: onAdapterTx,
  epoch: onEpochTx,
  refund: onEpochTx,
  answer: onEpochTx,
  claim: async () => {}, // nothing here waits for it; GET /v1/rewards/claims/{id} reads the outbox
}

/**
 * What the scheduled sweep runs, in order; each alone, so that one failure stops no other. A sweep answers how many
 * things it found to do.
 */
const SWEEPS: Record<string, (ctx: Ctx) => Promise<number>> = {
  nonces: sweepNonces,
  inbox: sweepInbox,
  anchors: sweepAnchors,
  rejected: sweepRejected,
  revocations: sendRevocations,
  leases: expireLeases,
  registrations: sweepRegistrations,
  objects: wakeObjects,
  texts: sweepTexts,
}

/** Second line of wrangler.toml's crons, and what it runs. */
const NIGHTLY = '17 3 * * *'
const NIGHTLY_SWEEPS: typeof SWEEPS = { reconciliation: keepReconciliation }

/** Queues by name. */
const QUEUES: Record<string, Consumer> = {
  'openledger-contributions': consumer(contributionMessage.parse, (ctx, { type, id }) =>
    type === 'contribution' ? processContribution(ctx, id) : buildVersion(ctx, id),
  ),
  'openledger-contributions-dlq': consumer(contributionMessage.parse, async (ctx, { type, id }) => {
    if (type === 'contribution') await buryContribution(ctx, id)
    else await failVersion(ctx, id)
  }),
  'openledger-events': consumer(eventMessage.parse, onEvent),
  // The sweeps ask for the outcome of whatever no message told; here it only has to be seen.
  'openledger-events-dlq': consumer(eventMessage.parse, async (ctx, { key, status }) => {
    log('error', { requestId: ctx.requestId, during: 'events-dlq', key, status })
  }),
}

async function onEvent(ctx: Ctx, event: EventMessage): Promise<void> {
  const domain = event.key.split(':', 1)[0] ?? ''
  const handler = ON_TX[domain]
  if (!handler) throw new Error(`no handler for transactions of "${domain}"`)
  await handler(ctx, event)
}

export default {
  fetch: app.fetch,

  async queue(batch, env, execution) {
    const consume = QUEUES[batch.queue]
    if (!consume) throw new Error(`no consumer for the queue ${batch.queue}`)
    await consume(batch, env, execution)
  },

  async scheduled({ cron }, env, execution) {
    const requestId = newId('request')
    for (const [name, sweep] of Object.entries(cron === NIGHTLY ? NIGHTLY_SWEEPS : SWEEPS)) {
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
