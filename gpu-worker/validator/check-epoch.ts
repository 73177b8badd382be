/** An epoch file against what is on chain, against the epoch before it, and against the Datanets it pays. */
import type { Hex } from '#protocol/bytes.ts'
import { canonicalJson } from '#protocol/bytes.ts'
import {
  creditsByAccount,
  decodeEpoch,
  encodeEpoch,
  epochCredits,
  epochRoots,
  type EpochFile,
  type Presence,
} from '#protocol/epoch.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import type { ReceiptDomain } from '#protocol/receipt.ts'
import { check, type Check } from './checks.ts'
import type { Submission } from './chain-facts.ts'
import type { VersionLeaf } from './published-files.ts'

export type EpochContext = {
  domain: ReceiptDomain
} & History

/** What was settled before an epoch. */
export type History = {
  /** Cumulative payouts after the epoch before; null when its file is nowhere, so that nobody can tell. */
  before: ReadonlyMap<Hex, bigint> | null
  /** The earlier epoch in which a request was settled. */
  settledIn: (requestId: Hex) => number | undefined
}

/** The file of an epoch, or a check that says why it is none. */
export function readEpoch(bytes: Uint8Array): EpochFile | Check {
  try {
    const file = decodeEpoch(bytes)
    const again = encodeEpoch(file)
    const isCanonical = again.length === bytes.length && again.every((byte, i) => byte === bytes[i])
    return isCanonical ? file : check('file', false, 'the file is not in canonical form')
  } catch (error) {
    return check(
      'file',
      false,
      `the file cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

/** Checks all that concerns an epoch as a whole. */
export function checkEpoch(
  submission: Submission,
  file: EpochFile,
  { domain, before, settledIn }: EpochContext,
): Check[] {
  const names = { ...domain, epoch: submission.epoch }
  const isOurs = Object.entries(names).every(
    ([name, value]) => file[name as keyof typeof names] === value,
  )
  const foreign = file.receipts.findIndex(
    ({ receipt }) => receipt.paramsHash !== submission.paramsHash,
  )
  return [
    check('file', isOurs, `epoch ${file.epoch} of ${file.settlement} on chain ${file.chainId}`),
    check(
      'parameters',
      foreign < 0,
      foreign < 0 ? submission.paramsHash : `receipt ${foreign} was made under other parameters`,
    ),
    checkOrder(file),
    checkDraws(file),
    ...checkMoney(submission, file, before),
    checkRepeated(file, settledIn),
  ]
}

/** Roots, counts, total; and payouts that are those before plus what the receipts pay. */
function checkMoney(submission: Submission, file: EpochFile, before: History['before']): Check[] {
  try {
    const roots = epochRoots(file)
    const wrong = (Object.keys(roots) as (keyof typeof roots)[]).filter(
      (name) => roots[name] !== submission[name],
    )
    const expected = new Map(before ?? [])
    for (const [account, wei] of creditsByAccount(epochCredits(file)))
      expected.set(account, (expected.get(account) ?? 0n) + wei)
    const paid = new Map(file.payouts.map(({ account, amount }) => [account, amount]))
    const wrongly = [...new Set([...expected.keys(), ...paid.keys()])].filter(
      (account) => expected.get(account) !== paid.get(account),
    )
    const [first] = wrongly
    const rootsCheck = check(
      'roots',
      wrong.length === 0,
      wrong.length === 0
        ? submission.receiptsRoot
        : `the file gives other ${wrong.join(', ')} than stand on chain`,
    )
    if (!before) return [rootsCheck]
    return [
      rootsCheck,
      check(
        'payouts',
        first === undefined,
        first === undefined
          ? `${file.payouts.length} accounts`
          : `${first} may claim ${paid.get(first) ?? 0n} wei, not ${expected.get(first) ?? 0n}; ${wrongly.length} accounts differ`,
      ),
    ]
  } catch (error) {
    // A presence table is missing, for instance: nobody can tell what the receipts pay.
    return [check('payouts', false, error instanceof Error ? error.message : String(error))]
  }
}

function checkOrder({ receipts, payouts, draws }: EpochFile): Check {
  const keys = [
    receipts.map(({ receipt }) => `${receipt.payer} ${receipt.requestId}`),
    payouts.map(({ account }) => account),
    draws.map(({ payer }) => payer),
  ]
  const isRising = keys.every((list) =>
    list.every((key, i) => i === 0 || key > (list[i - 1] as string)),
  )
  return check(
    'order',
    isRising,
    isRising ? 'rising, none twice' : 'receipts, payouts or draws are out of order or twice',
  )
}

function checkDraws({ receipts, draws }: EpochFile): Check {
  const owed = new Map<Hex, bigint>()
  for (const { receipt } of receipts)
    if (receipt.fee > 0n) owed.set(receipt.payer, (owed.get(receipt.payer) ?? 0n) + receipt.fee)
  const wrong = draws.find(({ payer, amount }) => owed.get(payer) !== amount)
  const holds = wrong === undefined && draws.length === owed.size
  return check(
    'draws',
    holds,
    holds
      ? `${draws.length} payers`
      : `${wrong?.payer ?? 'a payer'} is drawn ${wrong?.amount ?? 0n} wei, its receipts say ${wrong ? (owed.get(wrong.payer) ?? 0n) : 'more'}`,
  )
}

function checkRepeated({ receipts }: EpochFile, settledIn: History['settledIn']): Check {
  const again = receipts.findIndex(({ receipt }) => settledIn(receipt.requestId) !== undefined)
  const id = receipts[again]?.receipt.requestId
  return check(
    'repeated',
    id === undefined,
    id
      ? `receipt ${again}: request ${id} was settled in epoch ${settledIn(id)} already`
      : `${receipts.length} new requests`,
    ...(id ? [{ receipt: again }] : []),
  )
}

/** The clusters per contributor that a file names are those of the version, whose rows make its root. */
export function checkPresence({ root, clusters }: Presence, rows: readonly VersionLeaf[]): Check {
  const found = merkleTree(
    rows.map(({ record, cluster, contributor }) =>
      leafHash('record', [record, cluster, contributor]),
    ),
  ).root
  if (found !== root)
    return check('presence', false, `the published rows make ${found}, not ${root}`)
  // A cluster belongs to whoever has its first record in the version.
  const owners = new Map<Hex, Hex>()
  for (const { cluster, contributor } of rows)
    if (!owners.has(cluster)) owners.set(cluster, contributor)
  const counts: Record<string, number> = {}
  for (const contributor of owners.values()) counts[contributor] = (counts[contributor] ?? 0) + 1
  const named = Object.fromEntries(clusters.map(({ contributor, count }) => [contributor, count]))
  const holds = canonicalJson(counts) === canonicalJson(named)
  return check(
    'presence',
    holds,
    `${owners.size} clusters of ${clusters.length} contributors in ${root}`,
  )
}
