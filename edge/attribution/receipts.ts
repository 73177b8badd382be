import { verifyOrdered } from '#protocol/merkle.ts'
import type { Hex } from '#protocol/bytes.ts'
import { ID_PREFIX } from '#protocol/ids.ts'
import type { ReceiptStatus } from '#protocol/receipt.ts'
import { receiptLeaf, receiptsTree } from '#protocol/epoch.ts'
import type { Ctx } from '../context.ts'
import { Problem } from '../problem.ts'
import { readEpochFile } from '../settlement/epoch-files.ts'
import { receiptDomain } from '../settlement/epoch-steps.ts'
import { findStored } from '../settlement/archive.ts'
import type { StoredReceipt } from '../settlement/epoch-tables.ts'

export type ReceiptView = StoredReceipt & { id: string; status: ReceiptStatus }

/** Id of a request's receipt on the API. */
export const receiptId = (requestId: Hex): string => ID_PREFIX.receipt + requestId.slice(2)

/** A receipt by its id on the API; throws `receipt/not-found`. */
export async function findReceipt(ctx: Ctx, id: string): Promise<ReceiptView> {
  const match = /^rcp_([0-9a-f]{64})$/.exec(id)
  const stored = match && (await findStored(ctx.env, `0x${match[1]}`))
  if (!stored) throw new Problem('receipt/not-found', { detail: `No receipt has the id ${id}.` })
  return { ...stored, id, status: receiptStatus(stored) }
}

function receiptStatus({ epoch, refused }: StoredReceipt): ReceiptStatus {
  switch (epoch?.state) {
    case undefined:
      return refused === null ? 'open' : 'refused'
    case 'built':
    case 'stored':
      return 'batched'
    case 'submitted':
    case 'settled':
    case 'safe':
    case 'final':
    case 'disabled':
      return epoch.state
  }
}

export type ReceiptProof = {
  epoch: number
  root: Hex
  /** Receipts in the epoch, and the receipt's position among them. */
  count: number
  index: number
  /** What its payer owes for the receipts up to and with it. */
  spent: bigint
  leaf: Hex
  proof: Hex[]
}

/** Proof that a receipt is in its epoch's tree; throws `receipt/not-found` while it is in none. */
export async function proveReceipt(ctx: Ctx, id: string): Promise<ReceiptProof> {
  const { signed, epoch } = await findReceipt(ctx, id)
  if (!epoch)
    throw new Problem('receipt/not-found', { detail: 'The receipt is not in an epoch yet.' })
  const domain = receiptDomain(ctx.settings)
  const file = await readEpochFile(ctx.env.BLOBS, epoch.data_hash)
  const tree = receiptsTree(file)
  const { requestId } = signed.receipt
  const index = tree.leaves.findIndex(({ receipt }) => receipt.requestId === requestId)
  const spent = tree.leaves[index]?.spent ?? 0n
  const leaf = receiptLeaf(signed.receipt, spent, domain)
  const place = { index, count: tree.leaves.length, proof: tree.proof(index) }
  if (!verifyOrdered(epoch.receipts_root, leaf, place))
    throw new Error(`epoch ${epoch.epoch}: the file's receipts are not those of its root`)
  return { epoch: epoch.epoch, root: epoch.receipts_root, leaf, spent, ...place }
}
