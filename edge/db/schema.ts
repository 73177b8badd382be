import { index, integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import type { Hex } from '#protocol/bytes.ts'
import type { Scope } from '../context.ts'
import type { Fault } from '../problem.ts'

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

export type DatanetStatus = 'pending' | 'registered' | 'failed'

export const datanets = sqliteTable(
  'datanets',
  {
    id: text().primaryKey(),
    accountId: text('account_id').notNull(),
    owner: text().$type<Hex>().notNull(),
    name: text().notNull(),
    slug: text().notNull(),
    description: text().notNull(),
    licence: text().notNull(),
    domain: text().notNull(),
    profile: text({ mode: 'json' }).$type<Record<string, unknown>>().notNull(),
    status: text().$type<DatanetStatus>().notNull(),
    txHash: text('tx_hash').$type<Hex>(),
    error: text(),
    createdAt: integer('created_at').notNull(),
  },
  (table) => [uniqueIndex('datanets_slug').on(table.accountId, table.slug)],
)

export type ContributionStatus = 'received' | 'processing' | 'needs_anchor' | 'anchored' | 'failed'

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
    metadata: text({ mode: 'json' }).$type<Record<string, unknown>>().notNull(),
    status: text().$type<ContributionStatus>().notNull(),
    errors: text({ mode: 'json' }).$type<Fault[]>(),
    /** Records per verdict and per reason. */
    counts: text({ mode: 'json' }).$type<{
      verdicts: Record<string, number>
      reasons: Record<string, number>
    }>(),
    pipelineHash: text('pipeline_hash').$type<Hex>(),
    /** Hash of the file of processed records in R2. */
    recordsFile: text('records_file').$type<Hex>(),
    root: text().$type<Hex>(),
    accepted: integer(),
    txHash: text('tx_hash').$type<Hex>(),
    blockNumber: integer('block_number'),
    createdAt: integer('created_at').notNull(),
    processedAt: integer('processed_at'),
    anchoredAt: integer('anchored_at'),
  },
  (table) => [index('contributions_datanet').on(table.datanetId, table.status, table.id)],
)
