import type { Hex } from './bytes.ts'
import type { EpochFile, Presence } from './epoch.ts'
import { CLOCK_SECONDS } from './receipt.ts'
import { recordKey, type RecordKey } from './revocations.ts'

/** A row of a Datanet version, as its Merkle leaf has it. */
export type VersionLeaf = RecordKey & { cluster: Hex }

/** When (Unix seconds) the last of an epoch's receipts was made. */
export const lastTime = ({ receipts }: Pick<EpochFile, 'receipts'>): bigint =>
  receipts.reduce((last, { receipt }) => (receipt.time > last ? receipt.time : last), 0n)

/**
 * Up to which time (Unix seconds) of the log of revocations an epoch's base pool heeds it: what clocks may differ by before the
 * last of its receipts. So whoever has the receipts knows, and the log up to there does not change any more.
 */
export const poolTime = (lastReceipt: bigint): number => Number(lastReceipt - CLOCK_SECONDS)

/**
 * How the base pool of a version is divided: clusters by contributor, sorted. A cluster is theirs who have its first record that
 * is not revoked; one without such a record does not count. When none counts, all do: somebody has to be paid.
 */
export function clustersOf(
  rows: readonly VersionLeaf[],
  isRevoked: (key: RecordKey) => boolean,
): Presence['clusters'] {
  const standing = rows.filter((row) => !isRevoked(row))
  const owners = new Map<Hex, Hex>()
  for (const { cluster, contributor } of standing.length > 0 ? standing : rows)
    if (!owners.has(cluster)) owners.set(cluster, contributor)
  const counts = new Map<Hex, number>()
  for (const contributor of owners.values())
    counts.set(contributor, (counts.get(contributor) ?? 0) + 1)
  return [...counts]
    .map(([contributor, count]) => ({ contributor, count }))
    .toSorted((a, b) => (a.contributor < b.contributor ? -1 : 1))
}

/** Whether a set of `recordKey`s has a record. */
export const isIn =
  (keys: ReadonlySet<string>) =>
  (key: RecordKey): boolean =>
    keys.has(recordKey(key))
