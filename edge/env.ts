import { z } from 'zod'
import { MAX_SEGMENT_BYTES } from '#protocol/segments.ts'
import { address, hex } from '#protocol/wire.ts'
import type { Account } from './accounts/account.ts'
import type { ChainIndexer } from './chain/indexer.ts'
import type { ChainWriter } from './chain/writer.ts'
import type { ContributionMessage, EventMessage } from './http/messages.ts'
import type { JobFeed } from './jobs/job-feed.ts'
import type { ReceiptBatcher } from './settlement/receipt-batcher.ts'
import type { ReceiptInbox } from './settlement/receipt-inbox.ts'

const positive = z.coerce.number().int().positive()

const contracts = z.object({
  parameters: address,
  datanetRegistry: address,
  modelRegistry: address,
  inferenceVault: address,
  attributionSettlement: address,
  openGovernor: address,
  votingOpen: address,
  validatorStaking: address,
  receiptChallenges: address,
  epochChallenges: address,
  openTimelock: address,
})

const variables = z.object({
  CHAIN_ID: positive,
  RPC_URL: z.url({ protocol: /^https?$/ }),
  /** JSON object of contract addresses. */
  CONTRACTS: z.string().transform((text, issues) => {
    try {
      const parsed = contracts.safeParse(JSON.parse(text))
      if (parsed.success) return parsed.data
      issues.addIssue(`needs an address for ${parsed.error.issues[0]?.path.join('.')}`)
    } catch {
      issues.addIssue('is not JSON')
    }
    return z.NEVER
  }),
  /** EigenDA proxies, separated by commas; the later ones are for when the first is away or full. */
  DA_URL: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.url({ protocol: /^https?$/ }))),
  PUBLIC_URL: z.url({ protocol: /^https?$/ }),
  EPOCH_SECONDS: positive,
  EPOCH_MAX_RECEIPTS: positive,
  /** Bytes of JSON at which an epoch's lists are cut. */
  SEGMENT_BYTES: positive.max(MAX_SEGMENT_BYTES),
  /** Seconds between two looks at the chain. */
  INDEX_SECONDS: positive,
  /** Block from which the contracts' logs are indexed: that of their deployment, or an earlier one. */
  START_BLOCK: z.coerce.number().int().nonnegative(),
  QUOTA_PER_MINUTE: positive,
  /** Wei per gas that a transaction of ours offers at most; while the chain asks for more, they wait. */
  MAX_FEE_PER_GAS: z.coerce.bigint().positive(),
  /** Private key of the L2 account that anchors, registers and settles. */
  OPERATOR_KEY: hex(32),
  /** Bearer that admits gpu-workers. */
  WORKER_TOKEN: z.string().min(16),
  /** Secret from which the keys of kept prompts and answers are derived. */
  TEXTS_KEY: hex(32),
})

export type Settings = z.output<typeof variables>

/** Bindings of wrangler.toml, and its variables before they are parsed. */
export type Env = {
  DB: D1Database
  BLOBS: R2Bucket
  CONTRIBUTIONS: Queue<ContributionMessage>
  EVENTS: Queue<EventMessage>
  ACCOUNT: DurableObjectNamespace<Account>
  INBOXES: DurableObjectNamespace<ReceiptInbox>
  RECEIPTS: DurableObjectNamespace<ReceiptBatcher>
  CHAIN: DurableObjectNamespace<ChainWriter>
  INDEXER: DurableObjectNamespace<ChainIndexer>
  JOBS: DurableObjectNamespace<JobFeed>
  LEDGER: Hyperdrive
  CALLERS: RateLimit
} & Record<keyof Settings, string>

const parsed = new WeakMap<object, Settings>()

/** The settings of an environment; throws an Error that names every variable at fault. Parsed once per isolate. */
export function settingsOf(env: Env): Settings {
  const known = parsed.get(env)
  if (known) return known
  const result = variables.safeParse(env)
  if (!result.success) {
    const faults = result.error.issues.map(
      (issue) =>
        `${issue.path.join('.')}: ${isMissing(env, issue.path[0]) ? 'is missing' : issue.message}`,
    )
    throw new Error(`settings: ${faults.join('; ')}`)
  }
  parsed.set(env, result.data)
  return result.data
}

const isMissing = (env: Env, name: PropertyKey | undefined): boolean =>
  name === undefined || !(name in env)
