import { verifyOrdered, type OrderedTree } from '#protocol/merkle.ts'
import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { ID_PREFIX } from '#protocol/ids.ts'
import type { ReceiptStatus } from '#protocol/receipt.ts'
import { openReceiptsTree, receiptLeaf } from '#protocol/ledgers.ts'
import { countOf } from '#protocol/segments.ts'
import { keepLast } from '../chain/client.ts'
import type { Ctx } from '../context.ts'
import { Problem } from '../problem.ts'
import { readManifest, receiptSegments, type Part } from '../settlement/epoch-files.ts'
import { receiptDomain } from '../settlement/build-epoch.ts'
import { findStored } from '../settlement/archive.ts'
import type { EpochRow, StoredReceipt } from '../settlement/epoch-tables.ts'

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
    case 'taken':
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
  const { signed, epoch, position } = await findReceipt(ctx, id)
  if (!epoch || position === null || epoch.data_hash === ZERO_HASH)
    throw new Problem('receipt/not-found', { detail: 'The receipt is not in an epoch yet.' })
  const { tree, spents } = await receiptsIn(ctx, epoch)
  const spent = spents[position] ?? 0n
  const leaf = receiptLeaf(signed.receipt, spent, receiptDomain(ctx.settings))
  const place = { index: position, count: spents.length, proof: tree.proof(position) }
  if (!verifyOrdered(epoch.receipts_root, leaf, place))
    throw new Error(`epoch ${epoch.epoch}: the published receipts are not those of its root`)
  return { epoch: epoch.epoch, root: epoch.receipts_root, leaf, spent, ...place }
}

type Provable = { tree: OrderedTree; spents: bigint[] }
const kept = keepLast<Provable>(4)

/** What proofs of an epoch's receipts are made of; that of the last few epochs stays in the isolate. */
const receiptsIn = (ctx: Ctx, { data_hash: hash, commitment }: EpochRow): Promise<Provable> =>
  kept(hash, () => readProvable(ctx, { hash, commitment }))

async function readProvable({ env, settings }: Ctx, part: Part): Promise<Provable> {
  const manifest = await readManifest(env, part)
  const count = countOf(manifest.segments, 'receipts')
  const tree = openReceiptsTree(count, receiptDomain(settings), () => false)
  const spents: bigint[] = []
  for await (const receipts of receiptSegments(env, manifest))
    for (const { receipt } of receipts) spents.push(tree.add(receipt))
  return { tree: tree.close(), spents }
}
