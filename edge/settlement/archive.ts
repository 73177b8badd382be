import { z } from 'zod'
import type { Hex } from '#protocol/bytes.ts'
import { explanation, withoutWords } from '#protocol/generation.ts'
import type { Env } from '../env.ts'
import { epochKey, readManifest, receiptAt, segmentAt } from './epoch-files.ts'
import type { ArchivedAt, StoredReceipt } from './epoch-tables.ts'
import { receiptBatcher } from './receipt-batcher.ts'
import { receiptInbox } from './receipt-inbox.ts'

/**
 * Where receipts are once their epoch is final: the receipt in a segment of the epoch, and beside it, in an object of our
 * own, what the segment leaves out because it is nobody's but the payer's.
 */

const archived = z.array(
  z.object({
    requestId: z.string(),
    accountId: z.string(),
    explanation,
    refused: z.string().nullable(),
  }),
)
export type Archived = z.infer<typeof archived>

type Blobs = Pick<Env, 'BLOBS'>

const answersKey = (segment: Hex) => `${epochKey(segment)}.answers`

/** Keeps what a segment leaves out of its receipts. Idempotent: the later copy replaces the earlier. */
export async function archiveAnswers({ BLOBS }: Blobs, segment: Hex, answers: Archived) {
  await BLOBS.put(answersKey(segment), JSON.stringify(answers))
}

async function readAnswers({ BLOBS }: Blobs, segment: Hex): Promise<Archived> {
  const object = await BLOBS.get(answersKey(segment))
  if (!object) throw new Error(`the answers of segment ${segment} are missing`)
  return archived.parse(await object.json())
}

/** A receipt wherever it is by now, with its explanation and epoch; null when there is none. */
export async function findStored(env: Env, requestId: Hex): Promise<StoredReceipt | null> {
  // In the order in which it moves on: it is in the next place before it leaves the one before.
  const waiting = await receiptInbox(env, requestId).receipt(requestId)
  if (waiting) return waiting
  const batcher = receiptBatcher(env)
  const open = await batcher.receipt(requestId)
  if (open) return open
  const archived = await batcher.archivedAt(requestId)
  return archived && readArchived(env, requestId, archived)
}

async function readArchived(
  env: Env,
  requestId: Hex,
  { epoch, position }: ArchivedAt,
): Promise<StoredReceipt> {
  const manifest = await readManifest(env, { hash: epoch.data_hash, commitment: epoch.commitment })
  const [signed, answers] = await Promise.all([
    receiptAt(env, manifest, position),
    readAnswers(env, segmentAt(manifest, position).hash),
  ])
  const answer = answers.find((candidate) => candidate.requestId === requestId)
  if (signed.receipt.requestId !== requestId || !answer)
    throw new Error(`epoch ${epoch.epoch} lacks its receipt ${requestId}`)
  const { accountId, refused, explanation: shown } = answer
  return { signed, explanation: shown, accountId, epoch, position, refused }
}

/** Drops the answers' words from archived explanations. */
export async function forgetArchivedWords(
  env: Env,
  archived: readonly (ArchivedAt & { requestId: Hex })[],
): Promise<void> {
  for (const inEpoch of Map.groupBy(archived, ({ epoch }) => epoch.epoch).values()) {
    const [one] = inEpoch
    if (!one) continue
    const { epoch } = one
    const manifest = await readManifest(env, {
      hash: epoch.data_hash,
      commitment: epoch.commitment,
    })
    const bySegment = Map.groupBy(inEpoch, ({ position }) => segmentAt(manifest, position).hash)
    for (const [segment, here] of bySegment) {
      const ids = new Set<string>(here.map(({ requestId }) => requestId))
      const answers = await readAnswers(env, segment)
      await archiveAnswers(
        env,
        segment,
        answers.map((answer) =>
          ids.has(answer.requestId)
            ? { ...answer, explanation: withoutWords(answer.explanation) }
            : answer,
        ),
      )
    }
  }
}
