import { z } from 'zod'
import type { Hex } from '#protocol/bytes.ts'
import { explanation } from '#protocol/generation.ts'
import { withoutWords } from '../custody/texts.ts'
import type { Env } from '../env.ts'
import { epochKey, readEpochFile } from './epoch-files.ts'
import type { EpochRow, StoredReceipt } from './epoch-tables.ts'
import { receiptBatcher } from './receipt-batcher.ts'
import { receiptInbox } from './receipt-inbox.ts'

/**
 * Where receipts are once their epoch is final: the receipt in the epoch's file, and beside it, in an object of our own,
 * what the file leaves out because it is nobody's but the payer's.
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

const answersKey = (dataHash: Hex) => `${epochKey(dataHash)}.answers`

/** Keeps what the epoch's file leaves out. Idempotent: the later copy replaces the earlier. */
export async function archiveAnswers({ BLOBS }: Blobs, dataHash: Hex, answers: Archived) {
  await BLOBS.put(answersKey(dataHash), JSON.stringify(answers))
}

async function readAnswers({ BLOBS }: Blobs, dataHash: Hex): Promise<Archived> {
  const object = await BLOBS.get(answersKey(dataHash))
  if (!object) throw new Error(`the answers of epoch file ${dataHash} are missing`)
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
  const epoch = await batcher.archivedIn(requestId)
  return epoch && readArchived(env, requestId, epoch)
}

async function readArchived(env: Blobs, requestId: Hex, epoch: EpochRow): Promise<StoredReceipt> {
  const [file, answers] = await Promise.all([
    readEpochFile(env.BLOBS, epoch.data_hash),
    readAnswers(env, epoch.data_hash),
  ])
  const signed = file.receipts.find(({ receipt }) => receipt.requestId === requestId)
  const answer = answers.find((candidate) => candidate.requestId === requestId)
  if (!signed || !answer) throw new Error(`epoch ${epoch.epoch} lacks its receipt ${requestId}`)
  const { accountId, refused } = answer
  return { signed, explanation: answer.explanation, accountId, epoch, refused }
}

/** Drops the answers' words from archived explanations of an epoch. */
export async function forgetArchivedWords(
  env: Blobs,
  dataHash: Hex,
  requestIds: ReadonlySet<string>,
): Promise<void> {
  const answers = await readAnswers(env, dataHash)
  await archiveAnswers(
    env,
    dataHash,
    answers.map((answer) =>
      requestIds.has(answer.requestId)
        ? { ...answer, explanation: withoutWords(answer.explanation) }
        : answer,
    ),
  )
}
