import {
  openTally,
  payoutsAfter,
  type EpochFile,
  type Presence,
  type Tally,
  type Treasuries,
} from '#protocol/epoch.ts'
import {
  openCreditsTree,
  openReceiptsTree,
  payoutsTree,
  rootsOf,
  sumOf,
  withTrees,
} from '#protocol/ledgers.ts'
import { poolTime } from '#protocol/presence.ts'
import type { ReceiptDomain, SignedReceipt } from '#protocol/receipt.ts'
import {
  cut,
  encodeItem,
  encodeSegment,
  splitPresence,
  type Item,
  type SegmentKind,
} from '#protocol/segments.ts'
import { signedReceipt } from '#protocol/wire.ts'
import type { Env, Settings } from '../env.ts'
import { keepPart, payoutsOf } from './epoch-files.ts'
import { readPresence } from './presence.ts'
import type { EpochStore } from './epoch-store.ts'
import type { EpochRow, SegmentRow } from './epoch-tables.ts'

/**
 * What is computed from an epoch's receipts while they are in the batcher's SQLite: they are gone through a page at a time,
 * so that what lies in memory is a page of them and 32 bytes of each leaf (a Worker has 128 MB), and between two pages
 * other requests have their turn.
 */
export type Settlement = { env: Env; settings: Settings; store: EpochStore }

/** Receipts that are parsed without a pause. */
const PAGE = 64

export const receiptDomain = ({ CHAIN_ID, CONTRACTS }: Settings): ReceiptDomain => ({
  chainId: CHAIN_ID,
  settlement: CONTRACTS.attributionSettlement,
})

/** The contract's TREASURY and STAKING: a credit to anybody else is provably wrong. */
export const treasuriesOf = ({ CONTRACTS }: Settings): Treasuries => ({
  platform: CONTRACTS.openTimelock,
  stakers: CONTRACTS.validatorStaking,
})

/** Builds an epoch that has taken its receipts: its roots are known and its segments kept. Idempotent. */
export async function buildEpoch(settlement: Settlement, { epoch, receipts }: EpochRow) {
  const { settings, store } = settlement
  const presence = await presenceOf(settlement, epoch)
  const tally = await tallyOf(settlement, epoch, presence)
  const payouts = payoutsAfter(store.payouts(), tally)
  const receiptTree = openReceiptsTree(receipts, receiptDomain(settings), none)
  const treasuries = treasuriesOf(settings)
  const creditTree = openCreditsTree({ tally, payouts, treasuries }, none)

  async function* added(): AsyncGenerator<string> {
    for await (const { text, signed } of receiptsOf(settlement, epoch)) {
      receiptTree.add(signed.receipt)
      creditTree.add(signed.receipt)
      yield text
    }
  }
  const segments = [
    ...(await keepSegments(settlement, 'presence', encoded(splitPresence(presence)))),
    ...(await keepSegments(settlement, 'receipts', added())),
    ...(await keepSegments(settlement, 'payouts', encoded(payouts))),
  ]
  const roots = rootsOf(
    {
      receipts: receiptTree.close(),
      credits: creditTree.close(),
      payouts: payoutsTree({ payouts }),
    },
    sumOf(store.drawsOf(epoch)),
  )
  store.build(epoch, roots, segments, tally)
}

/** What an epoch pays, from the receipts that the batcher has of it. */
export async function tallyOf(
  settlement: Settlement,
  epoch: number,
  presence?: readonly Presence[],
): Promise<Tally> {
  const tally = openTally(treasuriesOf(settlement.settings))
  for await (const { signed } of receiptsOf(settlement, epoch)) tally.add(signed.receipt)
  return tally.close(presence ?? (await presenceOf(settlement, epoch)))
}

/** An epoch with the receipts, and the credits and their neighbours, that are at positions: what answers to demands show. */
export async function openAt(
  settlement: Settlement,
  row: EpochRow,
  positions: ReadonlySet<number>,
): Promise<EpochFile> {
  const { env, settings } = settlement
  const treasuries = treasuriesOf(settings)
  const domain = receiptDomain(settings)
  const { payouts } = await payoutsOf(env, { hash: row.data_hash, commitment: row.commitment })
  const presence = await presenceOf(settlement, row.epoch)
  const tally = await tallyOf(settlement, row.epoch, presence)
  const receiptTree = openReceiptsTree(row.receipts, domain, (i) => positions.has(i))
  const creditTree = openCreditsTree(
    { tally, payouts, treasuries },
    (i) => positions.has(i) || positions.has(i + 1),
  )
  const receipts = new Array<SignedReceipt>(row.receipts)
  let index = 0
  for await (const { signed } of receiptsOf(settlement, row.epoch)) {
    receiptTree.add(signed.receipt)
    creditTree.add(signed.receipt)
    if (positions.has(index)) receipts[index] = signed
    index++
  }
  return withTrees(
    { ...domain, epoch: row.epoch, treasuries, receipts, presence, payouts, draws: [] },
    { receipts: receiptTree.close(), credits: creditTree.close() },
  )
}

const none = () => false

function* encoded(items: Iterable<Item<SegmentKind>>): Generator<string> {
  for (const item of items) yield encodeItem(item)
}

async function* receiptsOf(
  { store }: Settlement,
  epoch: number,
): AsyncGenerator<{ text: string; signed: SignedReceipt }> {
  for (let first = 0; ; first += PAGE) {
    const page = store.receiptsOf(epoch, first, PAGE)
    for (const text of page) yield { text, signed: signedReceipt.parse(JSON.parse(text)) }
    if (page.length < PAGE) return
    await scheduler.wait(0)
  }
}

/** What the base pool is divided by; the same whenever it is asked for, because the epoch's receipts say up to when. */
async function presenceOf({ env, store }: Settlement, epoch: number): Promise<Presence[]> {
  const time = poolTime(store.lastTimeOf(epoch))
  return Promise.all(
    store.datanetsOf(epoch).map((root) => {
      const manifest = store.manifestOf(root)
      if (!manifest) throw new Error(`no manifest of Datanet version ${root}`)
      return readPresence(env, { root, manifest }, time)
    }),
  )
}

/** Cuts encoded items into segments and keeps them; one is in memory at a time. */
async function keepSegments(
  { env, settings }: Settlement,
  kind: SegmentKind,
  items: Iterable<string> | AsyncIterable<string>,
): Promise<SegmentRow[]> {
  const rows: SegmentRow[] = []
  for await (const list of cut(items, settings.SEGMENT_BYTES)) {
    const { hash, count, bytes } = await encodeSegment(kind, list)
    await keepPart(env.BLOBS, hash, bytes)
    rows.push({ kind, count, hash, commitment: null })
  }
  return rows
}
