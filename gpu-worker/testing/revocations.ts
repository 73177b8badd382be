/** A log of revocations in memory, as an edge would serve it. */
import { keccak } from '#protocol/bytes.ts'
import {
  extendRevocations,
  headOf,
  revocationHead,
  type RecordKey,
  type Revocation,
  type RevocationLog,
} from '#protocol/revocations.ts'

/** Appends an entry; `time` is in Unix seconds. */
export function revokeRecord(
  log: RevocationLog,
  { record, contributor }: RecordKey,
  { time, reason = 'revoked' }: { time: number; reason?: Revocation['reason'] },
): Revocation {
  const seq = log.entries.length + 1
  const about = { contribution: 'ctr_test', reason, call: keccak(`call ${seq}`) }
  const entry = { seq, record, contributor, ...about, time }
  extendRevocations(log, [{ ...entry, head: revocationHead(headOf(log), entry) }])
  return log.entries.at(-1) as Revocation
}
