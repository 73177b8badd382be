import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import type { Scope } from '../context.ts'
import type { ColumnMapping } from '../datanets/pipeline/columns.ts'
import type { Evidence } from '../datanets/pipeline/dedup.ts'
import type { PipelineCounts } from '../datanets/pipeline/pipeline.ts'
import type { Profile } from '../datanets/pipeline/profile.ts'
import type { ReasonCode, Verdict } from '../datanets/pipeline/reasons.ts'
import type { ContributionMetadata } from '../datanets/metadata.ts'
import type { Fault } from '../problem.ts'
import type { RevocationReason } from '#protocol/revocations.ts'

/**
 * D1: the catalogue. Times are Unix milliseconds. No foreign key cascades: D1 ignores `PRAGMA foreign_keys=OFF`
 * inside a migration, so a table rebuild would delete the children.
 */

export const accounts = sqliteTable('accounts', {
  id: text().primaryKey(),
  address: text().$type<Hex>().notNull().unique(),
  createdAt: integer('created_at').notNull(),
})

export const apiKeys = sqliteTable(
  'api_keys',
  {
    id: text().primaryKey(),
    accountId: text('account_id').notNull(),
    name: text().notNull(),
    /** SHA-256 of the key. */
    hash: text().notNull().unique(),
    /** What a person recognises the key by. */
    hint: text().notNull(),
    scopes: text({ mode: 'json' }).$type<Scope[]>().notNull(),
    createdAt: integer('created_at').notNull(),
    expiresAt: integer('expires_at'),
    revokedAt: integer('revoked_at'),
    lastUsedAt: integer('last_used_at'),
  },
  (table) => [index('api_keys_account').on(table.accountId, table.id)],
)

export const loginNonces = sqliteTable('login_nonces', {
  nonce: text().primaryKey(),
  address: text().$type<Hex>().notNull(),
  expiresAt: integer('expires_at').notNull(),
})

/** State on chain. */
export const DATANET_STATUSES = ['pending', 'registered', 'failed'] as const

export const datanets = sqliteTable(
  'datanets',
  {
    id: text().primaryKey(),
    accountId: text('account_id').notNull(),
    owner: text().$type<Hex>().notNull(),
    name: text().notNull(),
    slug: text().notNull(),
    description: text().notNull(),
    /** SPDX expression under which versions are published. */
    licence: text().notNull(),
    /** SPDX expressions that contributions may come under, the Datanet's own included. */
    licences: text({ mode: 'json' }).$type<string[]>().notNull(),
    domain: text().notNull(),
    /** Names of the source columns that make a record, where the usual ones do not. */
    columns: text({ mode: 'json' }).$type<ColumnMapping>(),
    profile: text({ mode: 'json' }).$type<Profile>().notNull(),
    status: text({ enum: DATANET_STATUSES }).notNull(),
    txHash: text('tx_hash').$type<Hex>(),
    /** Why the chain refused it. */
    error: text(),
    createdAt: integer('created_at').notNull(),
  },
  (table) => [
    uniqueIndex('datanets_slug').on(table.accountId, table.slug),
    index('datanets_status').on(table.status, table.id),
  ],
)

/** `rejected`: no record was accepted, so there is nothing to anchor. `failed`: the file or its anchoring failed. */
export const CONTRIBUTION_STATUSES = [
  'received',
  'processing',
  'needs_anchor',
  'anchored',
  'rejected',
  'failed',
] as const

export const contributions = sqliteTable(
  'contributions',
  {
    id: text().primaryKey(),
    datanetId: text('datanet_id').notNull(),
    accountId: text('account_id').notNull(),
    contributor: text().$type<Hex>().notNull(),
    /** SHA-256 of the body as it was sent; the bytes are in R2 under it. */
    sha256: text().$type<Hex>().notNull(),
    bytes: integer().notNull(),
    contentType: text('content_type').notNull(),
    metadata: text({ mode: 'json' }).$type<ContributionMetadata>().notNull(),
    status: text({ enum: CONTRIBUTION_STATUSES }).notNull(),
    errors: text({ mode: 'json' }).$type<Fault[]>(),
    counts: text({ mode: 'json' }).$type<PipelineCounts>(),
    pipelineHash: text('pipeline_hash').$type<Hex>(),
    /** SHA-256 of the JSONL file in R2 of every record as the pipeline left it. */
    recordsFile: text('records_file').$type<Hex>(),
    /** Merkle root of the accepted records. */
    root: text().$type<Hex>(),
    txHash: text('tx_hash').$type<Hex>(),
    blockNumber: integer('block_number'),
    createdAt: integer('created_at').notNull(),
    processedAt: integer('processed_at'),
    anchoredAt: integer('anchored_at'),
  },
  (table) => [
    index('contributions_datanet').on(table.datanetId, table.status, table.id),
    index('contributions_status').on(table.status, table.id),
    index('contributions_account').on(table.accountId, table.id),
  ],
)

/** Verdict of every row of a contribution; its text and signals are in the contribution's records file. */
export const records = sqliteTable(
  'records',
  {
    contributionId: text('contribution_id').notNull(),
    row: integer().notNull(),
    verdict: text().$type<Verdict>().notNull(),
    /** Parts per ten thousand. */
    novelty: integer().notNull(),
    reasons: text({ mode: 'json' }).$type<ReasonCode[]>().notNull(),
    detail: text(),
    recordHash: text('record_hash').$type<Hex>(),
    cluster: text().$type<Hex>(),
    evidence: text({ mode: 'json' }).$type<Evidence>(),
    /** Parts per ten thousand. The default lets the column be added. */
    modelOutput: integer('model_output').notNull().default(0),
  },
  (table) => [
    primaryKey({ columns: [table.contributionId, table.row] }),
    index('records_hash').on(table.recordHash),
  ],
)

/** The public log of protocol/revocations.ts, with who had it written and why. Nothing is ever changed in it. */
export const revocations = sqliteTable(
  'revocations',
  {
    seq: integer().primaryKey(),
    record: text().$type<Hex>().notNull(),
    contributor: text().$type<Hex>().notNull(),
    contributionId: text('contribution_id').notNull(),
    reason: text().$type<RevocationReason>().notNull(),
    /** Unix seconds, which are part of the log's hash. */
    time: integer().notNull(),
    head: text().$type<Hex>().notNull(),
    /** The account that withdrew it; null when the chain rejected its batch, in the block beside it. */
    accountId: text('account_id'),
    block: integer(),
    /** What the contributor said. */
    note: text(),
    /** Row of `revocation_calls`. The default is none's: it lets the column be added. */
    call: text().$type<Hex>().notNull().default(ZERO_HASH),
  },
  (table) => [
    uniqueIndex('revocations_record').on(table.record, table.contributor),
    index('revocations_contribution').on(table.contributionId, table.seq),
    index('revocations_block').on(table.block),
  ],
)

/**
 * Calls of the DatanetRegistry that show revocations on chain, written with them. What is signed or proven in them makes them
 * anybody's to send; we do so until each is in a block.
 */
export const revocationCalls = sqliteTable(
  'revocation_calls',
  {
    /** keccak256 of the call data. */
    id: text().$type<Hex>().primaryKey(),
    data: text().$type<Hex>().notNull(),
    txHash: text('tx_hash').$type<Hex>(),
    blockNumber: integer('block_number'),
    createdAt: integer('created_at').notNull(),
  },
  (table) => [index('revocation_calls_block').on(table.blockNumber, table.createdAt)],
)

export const VERSION_STATUSES = ['building', 'publishing', 'published', 'failed'] as const

export const versions = sqliteTable(
  'versions',
  {
    id: text().primaryKey(),
    datanetId: text('datanet_id').notNull(),
    number: integer().notNull(),
    status: text({ enum: VERSION_STATUSES }).notNull(),
    root: text().$type<Hex>(),
    /** SHA-256 of the manifest in R2. */
    manifest: text().$type<Hex>(),
    records: integer(),
    /** Anchored records that it leaves out because they are revoked. */
    revoked: integer(),
    error: text(),
    txHash: text('tx_hash').$type<Hex>(),
    blockNumber: integer('block_number'),
    createdAt: integer('created_at').notNull(),
    publishedAt: integer('published_at'),
  },
  (table) => [
    uniqueIndex('versions_number').on(table.datanetId, table.number),
    index('versions_status').on(table.status, table.id),
    index('versions_root').on(table.root),
  ],
)
