import { encodeFunctionData } from 'viem'
import { toJson, type Hex } from '#protocol/bytes.ts'
import { sumOf } from '#protocol/ledgers.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { cached, callMany, chainClient, readChain } from '../chain/client.ts'
import type { Ctx } from '../context.ts'
import { log } from '../log.ts'
import { ledgerState, type Sum } from '../db/ledger-state.ts'
import { readLedger, withLedger } from '../db/ledger.ts'
import { receiptBatcher } from './receipt-batcher.ts'
import { payoutsAt } from './rewards.ts'

const TTL_MS = 1_000

/** An account whose wei are not the same on both sides. */
export type Difference = { account: Hex; ledger: bigint; chain: bigint; difference: bigint }

export type Reconciliation = {
  /** Every difference is zero. */
  balanced: boolean
  /** Block of the chain at which both sides are compared; everything up to it is posted. */
  block: number
  /** Newest epoch that the ledger has. */
  epoch: number
  ledger: { epochs: number; drawn: bigint; credited: bigint; fees: bigint; disputed: bigint }
  chain: {
    lastEpoch: number
    /** Wei that epochs 1..lastEpoch drew from payers. */
    drawn: bigint
    claimed: bigint
    /** Wei that the settlement contract holds, submitters' bonds included. */
    balance: bigint
    /** Wei that the vault holds. */
    vault: bigint
  }
  differences: {
    /** Ledger minus chain: epochs that stand, wei drawn for them. */
    epochs: number
    drawn: bigint
    /** Within the ledger: credited minus drawn, fees of receipts minus drawn. */
    entries: bigint
    receipts: bigint
    /** Prepaid balances; grants against the published payouts whose root is on chain; claims. Only those that differ. */
    payers: Difference[]
    earners: Difference[]
    claims: Difference[]
    /** Sum of the ledger's claims minus the contract's total. */
    claimed: bigint
    /** Wei that the vault lacks to pay back every balance, and the settlement contract to pay all it owes. */
    vault: bigint
    settlement: bigint
  }
  settlement: { waiting: number; error: string | null; insolvent: Hex[] }
}

/** Compares the Postgres ledger with what epochs publish and with the chain, to the wei. */
export const reconcile = (ctx: Ctx): Promise<Reconciliation> =>
  cached(`reconciliation:${ctx.settings.CONTRACTS.attributionSettlement}`, TTL_MS, () =>
    compare(ctx),
  )

/** `reconcile`, kept in the ledger: what the nightly schedule runs. Returns how many things differ. */
export async function keepReconciliation(ctx: Ctx): Promise<number> {
  const found = await compare(ctx)
  const report = toJson(found)
  await withLedger(ctx.env, (sql) =>
    sql.begin(
      (tx) =>
        tx`INSERT INTO reconciliation (balanced, report) VALUES (${found.balanced}, ${report}::text::json)`,
    ),
  )
  const differences = faults(found.differences)
  if (differences > 0) log('error', { during: 'reconciliation', differences, report })
  return differences
}

async function compare(ctx: Ctx): Promise<Reconciliation> {
  const { settings, env } = ctx
  const { attributionSettlement, inferenceVault } = settings.CONTRACTS
  const client = chainClient(settings)
  const ledger = await readLedger(env, ledgerState)
  // The chain as it was at the ledger's block, so that both sides speak of the same moment.
  const blockNumber = BigInt(Math.max(ledger.block, 0))
  const settlementRead = {
    address: attributionSettlement,
    abi: attributionSettlementAbi,
    blockNumber,
  } as const
  const [lastEpoch, claimed, balance, vault] = await readChain(() =>
    Promise.all([
      client.readContract({ ...settlementRead, functionName: 'lastEpoch' }),
      client.readContract({ ...settlementRead, functionName: 'claimedTotal' }),
      client.getBalance({ address: attributionSettlement, blockNumber }),
      client.getBalance({ address: inferenceVault, blockNumber }),
    ]),
  )
  const record = await readChain(() =>
    client.readContract({ ...settlementRead, functionName: 'epochs', args: [lastEpoch] }),
  )
  const paid = record.activeAt === 0 ? null : await payoutsAt(ctx, record, Number(lastEpoch))
  const settlement = await receiptBatcher(env).state()

  const payouts = paid?.payouts ?? []
  const payers = ledger.payers.map(({ account }) => account)
  const earners = [...new Set([...payouts, ...ledger.earners].map(({ account }) => account))]
  const vaultBalances = await readWei(settings, payers, blockNumber, (account) => ({
    to: inferenceVault,
    data: encodeFunctionData({
      abi: inferenceVaultAbi,
      functionName: 'balanceOf',
      args: [account],
    }),
  }))
  const claims = await readWei(settings, earners, blockNumber, (account) => ({
    to: attributionSettlement,
    data: encodeFunctionData({
      abi: attributionSettlementAbi,
      functionName: 'claimed',
      args: [account],
    }),
  }))
  const owedToPayers = sumOf(ledger.payers)
  const owed = sumOf(ledger.earners) - sumOf(ledger.claims) + ledger.disputed
  const differences: Reconciliation['differences'] = {
    epochs: ledger.epochs - Number(lastEpoch),
    drawn: ledger.drawn - record.cumulativeTotal,
    entries: ledger.credited - ledger.drawn,
    receipts: ledger.fees - ledger.drawn,
    payers: differing(ledger.payers, vaultBalances),
    earners: differing(ledger.earners, payouts),
    claims: differing(ledger.claims, claims),
    claimed: sumOf(ledger.claims) - claimed,
    vault: owedToPayers > vault ? owedToPayers - vault : 0n,
    settlement: owed > balance ? owed - balance : 0n,
  }
  return {
    balanced: faults(differences) === 0,
    block: ledger.block,
    epoch: ledger.epoch,
    ledger: {
      epochs: ledger.epochs,
      drawn: ledger.drawn,
      credited: ledger.credited,
      fees: ledger.fees,
      disputed: ledger.disputed,
    },
    chain: { lastEpoch: Number(lastEpoch), drawn: record.cumulativeTotal, claimed, balance, vault },
    differences,
    settlement: {
      waiting: settlement.waiting,
      error: settlement.error,
      insolvent: settlement.insolvent,
    },
  }
}

const readWei = async (
  settings: Ctx['settings'],
  accounts: readonly Hex[],
  blockNumber: bigint,
  call: (account: Hex) => { to: Hex; data: Hex },
): Promise<Sum[]> => {
  const results = await readChain(() => callMany(settings, accounts.map(call), blockNumber))
  return accounts.map((account, i) => ({ account, amount: BigInt(results[i] ?? 0) }))
}

/** Accounts whose wei differ, by address. */
function differing(ledger: readonly Sum[], chain: readonly Sum[]): Difference[] {
  const [ours, theirs] = [byAccount(ledger), byAccount(chain)]
  return [...new Set([...ours.keys(), ...theirs.keys()])].toSorted().flatMap((account) => {
    const [left, right] = [ours.get(account) ?? 0n, theirs.get(account) ?? 0n]
    return left === right ? [] : [{ account, ledger: left, chain: right, difference: left - right }]
  })
}

const byAccount = (sums: readonly Sum[]) =>
  new Map(sums.map(({ account, amount }) => [account, amount]))

/** How many differences are not zero. */
const faults = (differences: Reconciliation['differences']): number =>
  Object.values(differences).reduce<number>(
    (count, difference) =>
      count + (Array.isArray(difference) ? difference.length : BigInt(difference) === 0n ? 0 : 1),
    0,
  )
