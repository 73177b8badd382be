import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import type { Hex } from '#protocol/bytes.ts'
import type { RecordFields } from '#protocol/wire.ts'

/**
 * D1: the near-duplicate index (edge/datanets/dedup-store.ts). Its rows are written in the same batch as the
 * verdicts of their contribution. `seq` is the order of acceptance. The texts lie here too, because a candidate is
 * compared in full; D1's 10 GB bound them to some millions of records.
 */

export const indexedRecords = sqliteTable(
  'indexed_records',
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    datanetId: text('datanet_id').notNull(),
    contributionId: text('contribution_id').notNull(),
    recordHash: text('record_hash').$type<Hex>().notNull(),
    cluster: text().$type<Hex>().notNull(),
    contributor: text().$type<Hex>().notNull(),
    fields: text({ mode: 'json' }).$type<RecordFields>().notNull(),
  },
  (table) => [
    uniqueIndex('indexed_records_hash').on(table.datanetId, table.recordHash),
    index('indexed_records_contribution').on(table.contributionId),
  ],
)

/** Exact and normalised keys, within a Datanet. */
export const dedupKeys = sqliteTable(
  'dedup_keys',
  {
    datanetId: text('datanet_id').notNull(),
    key: text().notNull(),
    seq: integer().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.datanetId, table.key, table.seq] }),
    index('dedup_keys_seq').on(table.seq),
  ],
)

/** MinHash bands, within a Datanet. */
export const dedupBands = sqliteTable(
  'dedup_bands',
  {
    datanetId: text('datanet_id').notNull(),
    band: integer().notNull(),
    seq: integer().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.datanetId, table.band, table.seq] }),
    index('dedup_bands_seq').on(table.seq),
  ],
)

/** Chosen 13-word windows, across Datanets. */
export const dedupWindows = sqliteTable(
  'dedup_windows',
  {
    window: integer().notNull(),
    seq: integer().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.window, table.seq] }),
    index('dedup_windows_seq').on(table.seq),
  ],
)

/**
 * Fingerprints of answers, across models, in windows as records have them; nothing says whose answer one is of. 22 bytes
 * each, one per eight words of an answer, and of one under 28 words at most 15.
 */
export const answerWindows = sqliteTable('answer_windows', {
  window: integer().primaryKey(),
  /** Unix milliseconds. */
  givenAt: integer('given_at').notNull(),
})
