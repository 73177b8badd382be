import type { Hex } from '#protocol/bytes.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { cached, chainClient, readChain } from '../chain/client.ts'
import type { Ctx } from '../context.ts'
import { ledgerState, readLedger } from '../db/ledger.ts'
import { epochOnChain } from './epoch-steps.ts'
import { receiptBatcher } from './receipt-batcher.ts'
import { epochFileOf } from './rewards.ts'

const MAX_CLAIM_READS = 1_000 // one call to the chain per account
const READS_AT_ONCE = 6 // a Worker has six outgoing connections
const TTL_MS = 1_000

export type Reconciliation = {
  /** Every difference is zero. */
  balanced: boolean
  /** Newest epoch that the ledger has. */
  epoch: number
  ledger: { epochs: number; drawn: bigint; credited: bigint }
  chain: {
    lastEpoch: number
    /** Wei that epochs 1..epoch drew from payers. */
    drawn: bigint
    claimed: bigint
    /** Wei that the settlement contract holds, submitters' bonds included. */
    balance: bigint
  }
  differences: {
    /** Ledger minus chain: epochs posted, wei drawn. */
    epochs: number
    drawn: bigint
    /** Ledger: credited minus drawn. */
    entries: bigint
    /** Ledger minus the epoch file whose root is on chain, per account; only those that differ. */
    accounts: { account: Hex; ledger: bigint; payouts: bigint; difference: bigint }[]
    /** Accounts that have claimed more than they ever earned. */
    overclaimed: { account: Hex; claimed: bigint; payouts: bigint; difference: bigint }[]
    /** Sum of the accounts' claims minus the contract's total. */
    claimed: bigint
    /** Wei that the contract lacks to pay what is unclaimed. */
    uncovered: bigint
  }
  /** Accounts whose claims were compared; fewer than there are when there are very many. */
  accountsCompared: number
  settlement: { waiting: number; error: string | null; insolvent: Hex[] }
}

/** Compares the Postgres ledger with the epoch files and with the chain, to the wei. */
export const reconcile = (ctx: Ctx): Promise<Reconciliation> =>
  cached(`reconciliation:${ctx.settings.CONTRACTS.attributionSettlement}`, TTL_MS, () =>
    compare(ctx),
  )

async function compare(ctx: Ctx): Promise<Reconciliation> {
  const { settings, env } = ctx
  const contract = {
    address: settings.CONTRACTS.attributionSettlement,
    abi: attributionSettlementAbi,
  } as const
  const client = chainClient(settings)
  // The ledger first: the chain can only be ahead of it. All of the chain at one block, so that sums agree.
  const ledger = await readLedger(env, ledgerState)
  const blockNumber = await readChain(() => client.getBlockNumber())
  const [lastEpoch, claimed, balance, record, file, settlement] = await Promise.all([
    readChain(() => client.readContract({ ...contract, functionName: 'lastEpoch', blockNumber })),
    readChain(() =>
      client.readContract({ ...contract, functionName: 'claimedTotal', blockNumber }),
    ),
    readChain(() => client.getBalance({ address: contract.address, blockNumber })),
    readChain(() => epochOnChain(settings, ledger.epoch)),
    epochFileOf(ctx, ledger.epoch),
    receiptBatcher(env).state(),
  ])
  // A claim may be against a newer epoch than the ledger has.
  const newest = await readChain(() => epochOnChain(settings, Number(lastEpoch)))
  const newestFile = await epochFileOf(ctx, Number(lastEpoch))
  const claimable = new Map(newestFile?.payouts.map(({ account, amount }) => [account, amount]))
  const payouts = new Map(file?.payouts.map(({ account, amount }) => [account, amount]))
  const earned = new Map(ledger.earners.map(({ account, amount }) => [account, amount]))
  const accounts = [
    ...new Set([...claimable.keys(), ...payouts.keys(), ...earned.keys()]),
  ].toSorted()
  const drawn = record?.cumulativeTotal ?? 0n

  const compared = accounts.slice(0, MAX_CLAIM_READS)
  const claims = await mapInTurns(compared, READS_AT_ONCE, async (account) => ({
    account,
    claimed: await readChain(() =>
      client.readContract({ ...contract, functionName: 'claimed', args: [account], blockNumber }),
    ),
    payouts: claimable.get(account) ?? 0n,
  }))
  const unclaimed = (newest?.cumulativeTotal ?? 0n) - claimed
  const differences: Reconciliation['differences'] = {
    epochs: ledger.epochs - ledger.epoch,
    drawn: ledger.drawn - drawn,
    entries: ledger.credited - ledger.drawn,
    accounts: accounts
      .map((account) => {
        const [ours, theirs] = [earned.get(account) ?? 0n, payouts.get(account) ?? 0n]
        return { account, ledger: ours, payouts: theirs, difference: ours - theirs }
      })
      .filter(({ difference }) => difference !== 0n),
    overclaimed: claims
      .map((claim) => ({ ...claim, difference: claim.claimed - claim.payouts }))
      .filter(({ difference }) => difference > 0n),
    claimed:
      compared.length === accounts.length
        ? claims.reduce((sum, claim) => sum + claim.claimed, 0n) - claimed
        : 0n,
    uncovered: unclaimed > balance ? unclaimed - balance : 0n,
  }
  return {
    balanced: Object.values(differences).every((difference) =>
      Array.isArray(difference) ? difference.length === 0 : BigInt(difference) === 0n,
    ),
    epoch: ledger.epoch,
    ledger: { epochs: ledger.epochs, drawn: ledger.drawn, credited: ledger.credited },
    chain: { lastEpoch: Number(lastEpoch), drawn, claimed, balance },
    differences,
    accountsCompared: compared.length,
    settlement: {
      waiting: settlement.waiting,
      error: settlement.error,
      insolvent: settlement.insolvent,
    },
  }
}

async function mapInTurns<T, R>(
  items: readonly T[],
  width: number,
  read: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  for (let i = 0; i < items.length; i += width)
    results.push(...(await Promise.all(items.slice(i, i + width).map(read))))
  return results
}
