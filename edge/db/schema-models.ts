import { index, integer, real, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import type { Hex } from '#protocol/bytes.ts'
import type { BlobRef, JobManifest, JobProgress, WorkerHello, WorkerLoad } from '#protocol/wire.ts'

/** D1: models, fine-tuning jobs and the workers that run them. Times are Unix milliseconds. */

/** Base models that some worker has announced and the chain knows. */
export const bases = sqliteTable('bases', {
  digest: text().$type<Hex>().primaryKey(),
  name: text().notNull(),
  contextLength: integer('context_length').notNull(),
  createdAt: integer('created_at').notNull(),
})

export type AdapterStatus = 'registering' | 'registered'

/** Adapters by digest. `name` points at the newest registered one: `<base>:<owner>/<slug>`. */
export const adapters = sqliteTable(
  'adapters',
  {
    digest: text().$type<Hex>().primaryKey(),
    name: text().notNull(),
    base: text().$type<Hex>().notNull(),
    owner: text().$type<Hex>().notNull(),
    jobId: text('job_id').notNull(),
    manifest: text().$type<Hex>().notNull(),
    indexRoot: text('index_root').$type<Hex>().notNull(),
    datanets: text({ mode: 'json' }).$type<JobManifest['datanets']>().notNull(),
    /** Wei, as a decimal string. */
    pricePerToken: text('price_per_token').notNull(),
    status: text().$type<AdapterStatus>().notNull(),
    txHash: text('tx_hash').$type<Hex>(),
    createdAt: integer('created_at').notNull(),
    registeredAt: integer('registered_at'),
  },
  (table) => [index('adapters_name').on(table.name, table.registeredAt)],
)

/** `registering` is still `running` for a client: the adapter is trained, its registration is not mined. */
export type JobStatus =
  | 'queued'
  | 'running'
  | 'paused'
  | 'registering'
  | 'succeeded'
  | 'failed'
  | 'cancelled'

export const jobs = sqliteTable(
  'jobs',
  {
    id: text().primaryKey(),
    accountId: text('account_id').notNull(),
    status: text().$type<JobStatus>().notNull(),
    /** What is trained, frozen. */
    manifest: text({ mode: 'json' }).$type<JobManifest>().notNull(),
    baseDigest: text('base_digest').$type<Hex>().notNull(),
    /** Wei, as a decimal string. */
    pricePerToken: text('price_per_token').notNull(),
    /** Leases given out so far. */
    attempts: integer().notNull(),
    leaseId: text('lease_id'),
    leaseExpiresAt: integer('lease_expires_at'),
    workerId: text('worker_id'),
    /** Where the worker is, as of its last heartbeat: 0..1 within the phase. */
    phase: text().$type<JobProgress['phase']>(),
    progress: real(),
    checkpoint: text({ mode: 'json' }).$type<BlobRef>(),
    adapterDigest: text('adapter_digest').$type<Hex>(),
    adapterManifest: text('adapter_manifest').$type<Hex>(),
    /** Name of the registered adapter. */
    fineTunedModel: text('fine_tuned_model'),
    trainedTokens: integer('trained_tokens'),
    error: text({ mode: 'json' }).$type<{ code: string; message: string }>(),
    createdAt: integer('created_at').notNull(),
    startedAt: integer('started_at'),
    finishedAt: integer('finished_at'),
  },
  (table) => [
    index('jobs_account').on(table.accountId, table.id),
    index('jobs_status').on(table.status, table.leaseExpiresAt),
    uniqueIndex('jobs_lease').on(table.leaseId),
    index('jobs_adapter').on(table.adapterDigest),
  ],
)

/** gpu-workers; the signing address is the identity, so that a restarted worker is the same one. */
export const workers = sqliteTable(
  'workers',
  {
    id: text().primaryKey(),
    address: text().$type<Hex>().notNull().unique(),
    url: text().notNull(),
    device: text().notNull(),
    bases: text({ mode: 'json' }).$type<WorkerHello['bases']>().notNull(),
    /** As of the last registration; null when the worker does not tell. */
    load: text({ mode: 'json' }).$type<WorkerLoad>(),
    registeredAt: integer('registered_at').notNull(),
    /** Last lease request, heartbeat or registration. */
    seenAt: integer('seen_at').notNull(),
  },
  (table) => [index('workers_seen').on(table.seenAt)],
)
