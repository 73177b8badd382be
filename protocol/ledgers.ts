import { fromHex, type Hex } from './bytes.ts'
import {
  add,
  BASE_POOL,
  byKey,
  receiptCredits,
  tallyOf,
  type Credit,
  type EpochFile,
  type Payout,
  type Tally,
} from './epoch.ts'
import { leafHash, orderedTree, type OrderedTree } from './merkle.ts'
import { receiptHash, type Receipt, type ReceiptDomain } from './receipt.ts'

/**
 * The three trees of an epoch. Receipts are added one by one and only 32 bytes of each leaf are kept, so that an epoch of
 * 10,000 takes a few megabytes; who has to show leaves says which, and their contents are kept too.
 */

/** A tree with the values behind its leaves, in their order: holes where they are not kept. */
export type Ledger<Leaf> = OrderedTree & { leaves: Leaf[] }

export type SettledReceipt = { receipt: Receipt; spent: bigint }
export type SettledCredit = Credit & { cumulative: bigint }

/** Whether the values behind a leaf are to be kept. */
export type Keeps = (index: number) => boolean
const all: Keeps = () => true

/** Leaf of a receipt: `spent` is what its payer owes for the epoch's receipts up to and with this one. */
export const receiptLeaf = (receipt: Receipt, spent: bigint, domain: ReceiptDomain): Hex =>
  leafHash('receipt', [receipt.requestId, receiptHash(receipt, domain), spent])

/** Takes so many receipts in the epoch's order. */
export function openReceiptsTree(count: number, domain: ReceiptDomain, keeps: Keeps = all) {
  const tree = openTree<SettledReceipt>(count, keeps)
  const sums = new Map<Hex, bigint>()
  let index = 0
  return {
    /** Returns what the receipt's payer owes up to and with it. */
    add(receipt: Receipt): bigint {
      const spent = add(sums, receipt.payer, receipt.fee)
      tree.set(index++, receiptLeaf(receipt, spent, domain), { receipt, spent })
      return spent
    },
    close: tree.close,
  }
}

/**
 * Takes the receipts of a tally in the epoch's order. `payouts` are those after the epoch: the `cumulative` of a credit is
 * what its account may claim in all up to and with it.
 */
export function openCreditsTree(
  {
    tally,
    payouts,
    treasuries,
  }: { tally: Tally; payouts: readonly Payout[] } & Pick<EpochFile, 'treasuries'>,
  keeps: Keeps = all,
) {
  const after = new Map(payouts.map(({ account, amount }) => [account, amount]))
  // Credits are sorted by account, receipt and part: how many each account has says where its own begin.
  const places = new Map<Hex, { next: number; cumulative: bigint }>()
  let count = 0
  for (const [account, { credits, wei }] of byKey(tally.earned)) {
    places.set(account, { next: count, cumulative: (after.get(account) ?? 0n) - wei })
    count += credits
  }
  const tree = openTree<SettledCredit>(count, keeps)
  const put = (credit: Credit) => {
    const { account, receipt, part, amount } = credit
    if (amount === 0n) return
    const place = places.get(account)
    if (!place) throw new Error(`epoch: ${account} is not in the tally`)
    const cumulative = (place.cumulative += amount)
    const leaf = leafHash('credit', [account, receipt, part, amount, cumulative])
    tree.set(place.next++, leaf, { ...credit, cumulative })
  }
  let index = 0
  return {
    add(receipt: Receipt): void {
      for (const credit of receiptCredits(receipt, index, treasuries)) put(credit)
      index++
    },
    close(): Ledger<SettledCredit> {
      for (const [account, amount] of tally.basePool)
        put({ account, receipt: BASE_POOL, part: 0, amount })
      return tree.close()
    },
  }
}

function openTree<Leaf>(count: number, keeps: Keeps) {
  const hashes = new Uint8Array(32 * count)
  const leaves = new Array<Leaf>(count)
  return {
    set(index: number, hash: Hex, leaf: Leaf): void {
      if (index >= count) throw new Error(`epoch: leaf ${index} of ${count}`)
      hashes.set(fromHex(hash), 32 * index)
      if (keeps(index)) leaves[index] = leaf
    },
    close: (): Ledger<Leaf> => ({ ...orderedTree(hashes), leaves }),
  }
}

/** Tree over cumulative payouts; a claim proves its position in it. */
export const payoutsTree = once(({ payouts }: Pick<EpochFile, 'payouts'>): Ledger<Payout> => {
  const tree = openTree<Payout>(payouts.length, () => false)
  for (const [i, payout] of payouts.entries())
    tree.set(i, leafHash('payout', [payout.account, payout.amount]), payout)
  return { ...tree.close(), leaves: payouts }
})

/** Tree over an epoch's receipts. */
export const receiptsTree = once(
  (file: Pick<EpochFile, 'receipts' | 'chainId' | 'settlement'>): Ledger<SettledReceipt> => {
    const tree = openReceiptsTree(file.receipts.length, file)
    for (const { receipt } of file.receipts) tree.add(receipt)
    return tree.close()
  },
)

/** Tree over an epoch's credits: every payment of more than zero wei by account, receipt and part. */
export const creditsTree = once(
  (
    file: Pick<EpochFile, 'receipts' | 'presence' | 'treasuries' | 'payouts'>,
  ): Ledger<SettledCredit> => {
    const tree = openCreditsTree({ ...file, tally: tallyOf(file) })
    for (const { receipt } of file.receipts) tree.add(receipt)
    return tree.close()
  },
)

/** What goes on chain: three ordered trees with the number of their leaves, and the wei drawn and paid. */
export type EpochRoots = {
  receiptsRoot: Hex
  creditsRoot: Hex
  payoutsRoot: Hex
  receipts: number
  credits: number
  payouts: number
  total: bigint
}

/** Roots and counts of an epoch's trees; `total` is what it draws and pays. */
export const rootsOf = (
  { receipts, credits, payouts }: Record<'receipts' | 'credits' | 'payouts', Ledger<unknown>>,
  total: bigint,
): EpochRoots => ({
  receiptsRoot: receipts.root,
  creditsRoot: credits.root,
  payoutsRoot: payouts.root,
  receipts: receipts.leaves.length,
  credits: credits.leaves.length,
  payouts: payouts.leaves.length,
  total,
})

/** Roots, counts and total of an epoch that is in memory. */
export const epochRoots = (file: EpochFile): EpochRoots =>
  rootsOf(
    { receipts: receiptsTree(file), credits: creditsTree(file), payouts: payoutsTree(file) },
    sumOf(file.draws),
  )

/** Wei of draws or payouts together. */
export const sumOf = (sums: readonly { amount: bigint }[]): bigint =>
  sums.reduce((sum, { amount }) => sum + amount, 0n)

/** Gives an epoch that is not all in memory the trees that were built of it, for proofs to be read from. */
export function withTrees(
  file: EpochFile,
  trees: { receipts: Ledger<SettledReceipt>; credits: Ledger<SettledCredit> },
): EpochFile {
  receiptsTree.known.set(file, trees.receipts)
  creditsTree.known.set(file, trees.credits)
  return file
}

/** Remembers what was made of a value for as long as the value is in use: proofs ask for the same trees again and again. */
function once<Given extends object, Made>(make: (given: Given) => Made) {
  const known = new WeakMap<Given, Made>()
  const made = (given: Given): Made => {
    const before = known.get(given)
    if (before) return before
    const now = make(given)
    known.set(given, now)
    return now
  }
  return Object.assign(made, { known })
}
