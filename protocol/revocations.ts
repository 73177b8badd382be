import { recoverTypedDataAddress } from 'viem'
import { z } from 'zod'
import { canonicalJson, keccak, lowerCase, ZERO_HASH, type Hex } from './bytes.ts'
import { CLOCK_SECONDS } from './receipt.ts'
import { domainOf } from './typed-data.ts'
import { address, bytes32 } from './wire.ts'

/**
 * The public log of records that are paid no more: append-only, each entry committing to all before it, so that one hash
 * says what was revoked at any time and nobody can change it later unseen. A receipt is bound to a part of the log by its
 * time: what was revoked by then is neither paid nor cited.
 *
 * The same stands on chain, where contracts see it (`DatanetRegistry.revokedAt`): a withdrawal by its contributor's signature,
 * a penalty by the proof that the record is in a rejected batch. So nobody who keeps the log can invent either.
 */

/** revoked: its contributor took it back. penalized: curation rejected the batch that it came in. */
export const revocationReason = z.enum(['revoked', 'penalized'])
export type RevocationReason = z.infer<typeof revocationReason>

/** A record by its contributor, in whatever Datanet: theirs to take back, and paid under this pair. */
export type RecordKey = { record: Hex; contributor: Hex }

/** Records of one signed withdrawal, at most: one transaction carries it, with about 23,000 gas a record. */
export const MAX_WITHDRAWN = 200

/** Where withdrawals are valid: one DatanetRegistry on one chain. */
export type WithdrawalDomain = { chainId: number; datanetRegistry: Hex }

/** EIP-712 arguments of a withdrawal, for viem's signing and recovery. It is for good, so it needs no nonce and no deadline. */
export const withdrawalTypedData = (
  records: readonly Hex[],
  { chainId, datanetRegistry }: WithdrawalDomain,
) =>
  ({
    domain: domainOf(chainId, datanetRegistry),
    types: { Withdrawal: [{ name: 'records', type: 'bytes32[]' }] },
    primaryType: 'Withdrawal',
    message: { records },
  }) as const

/** Lower-case address that signed a withdrawal; null when the signature is none. */
export const withdrawalSigner = async (
  records: readonly Hex[],
  signature: Hex,
  domain: WithdrawalDomain,
): Promise<Hex | null> => {
  try {
    const typed = withdrawalTypedData(records, domain)
    return lowerCase(await recoverTypedDataAddress({ ...typed, signature }))
  } catch {
    return null
  }
}

export const revocation = z.object({
  /** Place in the log, from 1. */
  seq: z.int().positive(),
  record: bytes32,
  contributor: address,
  /** The contribution that it was taken out of. */
  contribution: z.string(),
  reason: revocationReason,
  /** keccak256 of the call of the DatanetRegistry that shows it on chain; entries of one call are appended at once. */
  call: bytes32,
  /** Unix seconds; never before the entry before it. */
  time: z.int(),
  /** Commits to this entry and all before it. */
  head: bytes32,
})
export type Revocation = z.infer<typeof revocation>

/** edge -> anybody: the entries after one, in their order. */
export const revocationsPage = z.object({ data: z.array(revocation), has_more: z.boolean() })

/** Entries of one page, at most. */
export const REVOCATIONS_PAGE = 1_000

/** Head of the log after an entry. */
export const revocationHead = (before: Hex, entry: Omit<Revocation, 'head'>): Hex => {
  const { seq, record, contributor, contribution, reason, call, time } = entry
  return keccak(canonicalJson([before, seq, record, contributor, contribution, reason, call, time]))
}

/** The log as one has read it so far. */
export type RevocationLog = {
  entries: Revocation[]
  /** Places in the log by record and contributor. */
  places: Map<string, number>
}

export const emptyRevocations = (): RevocationLog => ({ entries: [], places: new Map() })

/** Head of the log; zero when it is empty. */
export const headOf = ({ entries }: RevocationLog, count = entries.length): Hex =>
  entries[count - 1]?.head ?? ZERO_HASH

/** A record and its contributor as one string. */
export const recordKey = ({ record, contributor }: RecordKey): string => record + contributor

/** Reads on; throws an Error, and adds nothing more, at an entry that does not continue the log. */
export function extendRevocations(log: RevocationLog, entries: readonly Revocation[]): void {
  for (const entry of entries) {
    const last = log.entries.at(-1)
    const isNext =
      entry.seq === log.entries.length + 1 &&
      entry.time >= (last?.time ?? 0) &&
      entry.head === revocationHead(headOf(log), entry)
    if (!isNext) throw new Error(`the log of revocations does not go on at entry ${entry.seq}`)
    log.entries.push(entry)
    if (!log.places.has(recordKey(entry))) log.places.set(recordKey(entry), entry.seq)
  }
}

/**
 * Reads the log on to its end, page by page; throws what the pages or `extendRevocations` do. Nothing is added before all
 * pages are there, so that a log is never known up to the middle of a call.
 */
export async function followRevocations(
  log: RevocationLog,
  read: (after: number) => Promise<z.infer<typeof revocationsPage>>,
): Promise<void> {
  const entries: Revocation[] = []
  for (;;) {
    const { data, has_more: hasMore } = await read(log.entries.length + entries.length)
    entries.push(...data)
    if (!hasMore) break
  }
  extendRevocations(log, entries)
}

/** Entries up to and with a time. */
export function countAt({ entries }: RevocationLog, time: number): number {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((entries[middle]?.time ?? 0) <= time) low = middle + 1
    else high = middle
  }
  return low
}

/** The entry by which a record is revoked within the first `count`, or undefined. */
export function revocationOf(
  log: RevocationLog,
  key: RecordKey,
  count: number,
): Revocation | undefined {
  const seq = log.places.get(recordKey(key))
  return seq !== undefined && seq <= count ? log.entries[seq - 1] : undefined
}

/** Positions of the rows that are revoked within the first `count` entries. */
export const revokedRows = (
  log: RevocationLog,
  rows: readonly RecordKey[],
  count: number,
): Set<number> => new Set(rows.flatMap((row, i) => (revocationOf(log, row, count) ? [i] : [])))

/**
 * How many entries a receipt of some time (Unix seconds) has to heed at least, and may heed at most: the clocks of edge
 * and worker may differ, and a worker knows the log as of some seconds ago.
 */
export const heededAt = (log: RevocationLog, time: bigint): { least: number; most: number } => ({
  least: countAt(log, Number(time - CLOCK_SECONDS)),
  most: countAt(log, Number(time + CLOCK_SECONDS)),
})

/**
 * Every number of entries that a receipt of some time may have heeded and that differs for a model's rows: logs are known
 * up to the end of a call.
 */
export function heededParts(
  log: RevocationLog,
  rows: readonly RecordKey[],
  time: bigint,
): number[] {
  const { least, most } = heededAt(log, time)
  const own = new Set(rows.map(recordKey))
  const parts = [least]
  let isOther = false
  for (let count = least + 1; count <= most; count++) {
    const [entry, next] = log.entries.slice(count - 1, count + 1)
    isOther ||= entry !== undefined && own.has(recordKey(entry))
    if (next?.call === entry?.call || !isOther) continue
    parts.push(count)
    isOther = false
  }
  return parts
}
