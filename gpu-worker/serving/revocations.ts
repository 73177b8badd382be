/** The log of revoked records as this worker knows it: read from the edge, checked against its own hashes, seconds old. */
import {
  countAt,
  emptyRevocations,
  followRevocations,
  headOf,
  revokedRows,
  revocationsPage,
  type RevocationLog,
} from '#protocol/revocations.ts'
import { CLOCK_SECONDS } from '#protocol/receipt.ts'
import type { AttributionIndex } from '../attribution/attribute.ts'
import { withoutRows } from '../attribution/span-index.ts'
import { edgeFetch } from '../blobs.ts'
import { log } from '../log.ts'
import { ServingError } from './serving-error.ts'

export type Revocations = {
  /** The log as of a few seconds ago; throws a ServingError when nothing recent enough is known. */
  current: () => Promise<RevocationLog>
}

/** For so long a record may still be paid after it was revoked; chain.ts keeps prices as long. */
const TTL_MS = 3_000
/** An edge that cannot be read now is borne with for as long as validators bear with clocks. */
const MOST_AGE_MS = Number(CLOCK_SECONDS) * 500
const TIMEOUT_MS = 10_000

/** Opens a reader of an edge's log; nothing is read yet. */
export function openRevocations(edgeUrl: string): Revocations {
  return followLog(async (after) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const url = `${edgeUrl}/v1/revocations?after=${after}`
    return revocationsPage.parse(await (await edgeFetch(url, { signal })).json())
  })
}

/** A reader of a log that comes page by page. Requests at the same time share one reading. */
function followLog(read: Parameters<typeof followRevocations>[1]): Revocations {
  const known = emptyRevocations()
  let readAt = -Infinity
  let reading: Promise<void> | null = null
  const follow = async () => {
    const startedAt = performance.now()
    await followRevocations(known, read)
    readAt = startedAt
  }
  return {
    current: async () => {
      if (performance.now() - readAt < TTL_MS) return known
      try {
        await (reading ??= follow().finally(() => (reading = null)))
      } catch (cause) {
        if (performance.now() - readAt > MOST_AGE_MS)
          throw new ServingError('model/unavailable', 'the revoked records cannot be read', {
            cause,
          })
        log('warn', 'revocations are not read', { error: cause })
      }
      return known
    },
  }
}

/** How many entries of the log count for a receipt of a time (Unix seconds), or now: all that are known. */
export type LogPart = { log: RevocationLog; entries: number }

export const wholeOf = (known: RevocationLog): LogPart => ({
  log: known,
  entries: known.entries.length,
})
export const partAt = (known: RevocationLog, time: number): LogPart => ({
  log: known,
  entries: countAt(known, time),
})

const last = new WeakMap<AttributionIndex, { head: string; live: AttributionIndex }>()

/** An adapter's indexes in which nothing is credited to records that a part of the log revokes; kept until the part changes. */
export function liveIndex(
  served: AttributionIndex,
  { log: known, entries }: LogPart,
): AttributionIndex {
  const head = headOf(known, entries)
  const found = last.get(served)
  if (found?.head === head) return found.live
  const gone = revokedRows(known, served.index.index.rows, entries)
  const isSame = found && sameSet(found.live.spans.revoked, gone)
  const live = isSame
    ? found.live
    : {
        index: served.index,
        spans: gone.size === 0 ? served.spans : withoutRows(served.spans, gone),
      }
  last.set(served, { head, live })
  return live
}

const sameSet = (a: ReadonlySet<number>, b: ReadonlySet<number>): boolean =>
  a.size === b.size && [...a].every((item) => b.has(item))
