/** An epoch against what is on chain, against the epoch before it, and against the Datanets it pays. */
import { canonicalJson, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import { add, tallyOf, type EpochFile, type Presence, type Treasuries } from '#protocol/epoch.ts'
import { creditsTree, payoutsTree, receiptsTree } from '#protocol/ledgers.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import { clustersOf, lastTime, type VersionLeaf } from '#protocol/presence.ts'
import type { ReceiptDomain } from '#protocol/receipt.ts'
import {
  headOf,
  heededAt,
  recordKey,
  type RecordKey,
  type RevocationLog,
} from '#protocol/revocations.ts'
import { check, type Check } from './checks.ts'
import type { Submission } from './chain-facts.ts'

export type EpochContext = {
  domain: ReceiptDomain
  /** What the chain drew from whom for this epoch. */
  draws: EpochFile['draws']
  treasuries: Treasuries
} & History

/** What was settled before an epoch. */
export type History = {
  /** Cumulative payouts after the epoch before; null when its file is nowhere, so that nobody can tell. */
  before: ReadonlyMap<Hex, bigint> | null
  /** The earlier epoch in which a request was settled. */
  settledIn: (requestId: Hex) => number | undefined
}

/** Checks all that concerns an epoch as a whole. */
export function checkEpoch(
  submission: Submission,
  file: EpochFile,
  { domain, draws, treasuries, before, settledIn }: EpochContext,
): Check[] {
  const names = { ...domain, epoch: submission.epoch }
  const isOurs = Object.entries(names).every(
    ([name, value]) => file[name as keyof typeof names] === value,
  )
  const foreign = file.receipts.findIndex(
    ({ receipt }) => receipt.paramsHash !== submission.paramsHash,
  )
  const hidden = hiddenIn(submission, file)
  return [
    check('file', isOurs, `epoch ${file.epoch} of ${file.settlement} on chain ${file.chainId}`),
    check(
      'roots',
      hidden.length === 0,
      hidden.length === 0
        ? submission.receiptsRoot
        : `the file does not give the ${hidden.join('s, ')}s that stand on chain`,
    ),
    check(
      'parameters',
      foreign < 0,
      foreign < 0 ? submission.paramsHash : `receipt ${foreign} was made under other parameters`,
    ),
    checkTreasuries(file, treasuries),
    checkOrder(file),
    checkDraws(file, draws),
    ...(before ? [checkPayouts(file, before)] : []),
    checkRepeated(file, settledIn),
    checkEquivocation(file),
  ]
}

/** What of an epoch's content is not in its file, for which its trees then have other roots than on chain. */
export function hiddenIn(submission: Submission, file: EpochFile | null): LedgerKind[] {
  return (Object.keys(LEDGERS) as LedgerKind[]).filter((kind) => {
    const { treeOf, root, count } = LEDGERS[kind]
    if (submission[count] === 0 && submission[root] === ZERO_HASH) return false
    try {
      const tree = file && treeOf(file)
      return tree?.root !== submission[root] || tree.leaves.length !== submission[count]
    } catch {
      return true // numbers that no tree can hold
    }
  })
}

const LEDGERS = {
  receipt: { treeOf: receiptsTree, root: 'receiptsRoot', count: 'receipts' },
  credit: { treeOf: creditsTree, root: 'creditsRoot', count: 'credits' },
  payout: { treeOf: payoutsTree, root: 'payoutsRoot', count: 'payouts' },
} as const
type LedgerKind = keyof typeof LEDGERS

/** The platform's and the stakers' parts go where the chain says. */
function checkTreasuries({ treasuries, receipts }: EpochFile, expected: Treasuries): Check {
  const holds = treasuries.platform === expected.platform && treasuries.stakers === expected.stakers
  const paid = receipts.findIndex(({ receipt: { platform, stakers } }) =>
    treasuries.platform === expected.platform ? stakers > 0n : platform > 0n,
  )
  return check(
    'treasuries',
    holds,
    `platform ${treasuries.platform}, stakers ${treasuries.stakers}`,
    ...(holds ? [] : [{ receipt: Math.max(0, paid) }]),
  )
}

/** Payouts are those before plus what the receipts pay. */
function checkPayouts(file: EpochFile, before: ReadonlyMap<Hex, bigint>): Check {
  const expected = new Map(before)
  try {
    for (const [account, { wei }] of tallyOf(file).earned) add(expected, account, wei)
  } catch (error) {
    // A presence table is missing, for instance: nobody can tell what the receipts pay.
    return check('payouts', false, messageOf(error))
  }
  const paid = new Map(file.payouts.map(({ account, amount }) => [account, amount]))
  const wrong = [...new Set([...expected.keys(), ...paid.keys()])].filter(
    (account) => expected.get(account) !== paid.get(account),
  )
  const [account] = wrong
  return account === undefined
    ? check('payouts', true, `${file.payouts.length} accounts`)
    : check(
        'payouts',
        false,
        `${account} may claim ${paid.get(account) ?? 0n} wei, not ${expected.get(account) ?? 0n}; ${wrong.length} accounts differ`,
        { account },
      )
}

function checkOrder({ receipts, payouts }: EpochFile): Check {
  const receipt = outOfOrder(
    receipts.map(({ receipt: { payer, requestId } }) => `${payer} ${requestId}`),
  )
  const payout = outOfOrder(payouts.map(({ account }) => account))
  return receipt === null && payout === null
    ? check('order', true, 'rising, none twice')
    : check(
        'order',
        false,
        receipt === null
          ? `payout ${payout} is out of order or twice`
          : `receipt ${receipt} is out of order or twice`,
        { ...(receipt !== null && { receipt }), ...(payout !== null && { payout }) },
      )
}

/** Position of the first key that does not come after the one before it; null when all do. */
function outOfOrder(keys: readonly string[]): number | null {
  const position = keys.findIndex((key, i) => i > 0 && key <= (keys[i - 1] as string))
  return position < 0 ? null : position
}

/** What the chain drew is what each payer's receipts cost. */
function checkDraws({ receipts }: EpochFile, draws: EpochFile['draws']): Check {
  const owed = sums(receipts.map(({ receipt: { payer, fee } }) => [payer, fee]))
  const drawn = sums(draws.map(({ payer, amount }) => [payer, amount]))
  const payer = [...owed.keys(), ...drawn.keys()].find(
    (candidate) => (owed.get(candidate) ?? 0n) !== (drawn.get(candidate) ?? 0n),
  )
  return payer === undefined
    ? check('draws', true, `${draws.length} payers`)
    : check(
        'draws',
        false,
        `${payer} was drawn ${drawn.get(payer) ?? 0n} wei, its receipts say ${owed.get(payer) ?? 0n}`,
        // Where its receipts end, or would.
        { receipt: receipts.filter(({ receipt }) => receipt.payer <= payer).length },
      )
}

function sums(entries: readonly (readonly [Hex, bigint])[]): Map<Hex, bigint> {
  const found = new Map<Hex, bigint>()
  for (const [key, wei] of entries) add(found, key, wei)
  return found
}

/**
 * What the log says was revoked before the last of the receipts was made stood on chain when the epoch came: whoever keeps the
 * log can neither invent an entry nor keep one back.
 */
export function checkAnchored(
  { receipts }: EpochFile,
  { submittedAt }: Pick<Submission, 'submittedAt'>,
  { log, onChain }: { log: RevocationLog; onChain: ReadonlyMap<string, bigint> },
): Check {
  const last = lastTime({ receipts })
  const { least } = heededAt(log, last)
  const isMissing = (key: RecordKey) => (onChain.get(recordKey(key)) ?? Infinity) > submittedAt
  const missing = log.entries.slice(0, least).find(isMissing)
  return check(
    'anchored',
    missing === undefined,
    missing
      ? `entry ${missing.seq} of the log was not on chain when the epoch was submitted: ${missing.record} of ${missing.contributor}`
      : `${least} entries, ${headOf(log, least)}`,
  )
}

/**
 * Every worker had `minimum` wei at stake when it signed its first and its last receipt: what it loses by signing two for one
 * request. Leaving takes `staking.unbondDelay`, in which it can still be slashed.
 */
export async function checkWorkers(
  { receipts }: EpochFile,
  minimum: bigint,
  stakeAt: (account: Hex, time: bigint) => Promise<bigint>,
): Promise<Check> {
  const signed = Map.groupBy(
    receipts.map(({ receipt: { worker, time } }, place) => ({ worker, time, place })),
    ({ worker }) => worker,
  )
  for (const [worker, own] of signed) {
    const byTime = own.toSorted((a, b) => (a.time < b.time ? -1 : 1))
    for (const { time, place } of new Set([...byTime.slice(0, 1), ...byTime.slice(-1)])) {
      const stake = await stakeAt(worker, time)
      if (stake < minimum || stake === 0n)
        return check(
          'worker',
          false,
          `${worker} had ${stake} wei at stake when it signed receipt ${place}, not ${minimum}`,
          { receipt: place },
        )
    }
  }
  return check('worker', true, `${signed.size} workers with ${minimum} wei at stake`)
}

/** No worker signed two receipts for one request. */
function checkEquivocation({ receipts }: EpochFile): Check {
  const first = new Map<Hex, number>()
  for (const [other, { receipt }] of receipts.entries()) {
    const known = first.get(receipt.requestId)
    if (known !== undefined)
      return check(
        'equivocation',
        false,
        `receipts ${known} and ${other} are for one request, ${receipt.requestId}`,
        { receipt: known, other },
      )
    first.set(receipt.requestId, other)
  }
  return check('equivocation', true, `${receipts.length} requests`)
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

/** The clusters per contributor that a file names are those of the version, whose rows make its root, without what is revoked. */
export function checkPresence(
  { root, clusters }: Presence,
  rows: readonly VersionLeaf[],
  isRevoked: (key: RecordKey) => boolean,
): Check {
  const found = merkleTree(
    rows.map(({ record, cluster, contributor }) =>
      leafHash('record', [record, cluster, contributor]),
    ),
  ).root
  if (found !== root)
    return check('presence', false, `the published rows make ${found}, not ${root}`)
  const standing = clustersOf(rows, isRevoked)
  const named = clusters.toSorted((a, b) => (a.contributor < b.contributor ? -1 : 1))
  return check(
    'presence',
    canonicalJson(standing) === canonicalJson(named),
    `${standing.reduce((n, { count }) => n + count, 0)} clusters of ${standing.length} contributors in ${root}`,
  )
}
