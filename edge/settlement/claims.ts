import { decodeFunctionData, encodeFunctionData, type PublicClient } from 'viem'
import { lowerCase, type Hex } from '#protocol/bytes.ts'
import type { Claim, SignedClaim } from '#protocol/claim.ts'
import { attributionSettlementAbi as abi } from '#contracts/attribution-settlement.ts'
import { chainClient, readChain } from '../chain/client.ts'
import {
  enqueueTransaction,
  operatorAddress,
  transactionData,
  transactionStatus,
} from '../chain/enqueue.ts'
import { worstCost } from '../chain/fees.ts'
import { revertReason } from '../chain/revert.ts'
import type { TransactionStatus } from '../chain/outbox.ts'
import type { Ctx } from '../context.ts'
import { Problem } from '../problem.ts'
import { payoutOf, rewardsOf } from './rewards.ts'

/**
 * Claims of accounts without gas: they sign (protocol/claim.ts), our operator sends, for a fee out of what is paid. A
 * relayed claim is a transaction of the operator's outbox and nothing else; its account and nonce name it, so that it
 * is sent once, however often it is handed in.
 */

const SIGNING_SECONDS = 3_600n
const MIN_LIFE_SECONDS = 60n // it has to reach a block
const MAX_LIFE_SECONDS = 86_400n // a claim that waits for a lower price is not kept for ever
/** What a signed claim takes beside a plain one: a nonce, ecrecover and a second transfer. Only quotes rely on it. */
const SIGNED_GAS = 50_000n
/** The price may rise by a quarter until it is sent, at an unchanged fee. */
const FEE_PERCENT = 125n
/** And by half between a quote and the signed claim: what was signed as most is not what is taken. */
const MAX_FEE_PERCENT = 150n
/** An account whose relayed claim reverted in a block, at our cost, sends claims itself for so long. */
const REVERTED_PAUSE_MS = 86_400_000

/** What to sign so that a claim is relayed. */
export type ClaimQuote = {
  claim: Claim
  /** Wei that it pays, of which `fee` would be kept if it were sent now. */
  claimable: bigint
  fee: bigint
}

/**
 * queued: not sent yet, maybe for its price. sent: on its way, or in a block that is not safe yet. safe, final: as
 * receipts. failed: it never takes effect.
 */
export const CLAIM_STATUSES = ['queued', 'sent', 'safe', 'final', 'failed'] as const

export type RelayedClaim = {
  id: string
  account: Hex
  to: Hex
  epoch: number
  cumulative: bigint
  /** Wei that the operator keeps of it. */
  fee: bigint
  status: (typeof CLAIM_STATUSES)[number]
  txHash: Hex | null
  blockNumber: number | null
  /** Why it failed. */
  reason: string | null
  /** What keeps it from being sent, while it is being tried again. */
  error: string | null
}

/** The claim of all that an account can claim, with the fee that sending it takes. Throws `claim/refused`. */
export async function quoteClaim(ctx: Ctx, account: Hex): Promise<ClaimQuote> {
  const { settings } = ctx
  const client = chainClient(settings)
  const [rewards, nonce, now] = await Promise.all([
    rewardsOf(ctx, account),
    readNonce(ctx, client, account),
    chainTime(client),
  ])
  const { claim: plain, claimable, pending, cumulative, epoch } = rewards
  if (!plain)
    throw new Problem('claim/refused', {
      detail: `Nothing is claimable now; ${pending} wei are pending.`,
    })
  const gas = await estimate(ctx, client, plain.data)
  const fee = await feeOf(client, { data: plain.data, gas: gas + SIGNED_GAS })
  if (fee >= claimable) throw tooDear(fee, `only ${claimable} wei are claimable`)
  const most = (fee * MAX_FEE_PERCENT) / 100n
  return {
    claimable,
    fee,
    claim: {
      account,
      to: account,
      cumulative,
      epoch: BigInt(epoch),
      maxFee: most < claimable ? most : claimable - 1n,
      nonce,
      deadline: now + SIGNING_SECONDS,
    },
  }
}

/**
 * Takes a signed claim over and sends it. Idempotent by account and nonce. Throws `claim/refused` for what the chain
 * would refuse, a wrong signature first of all; `claim/fee-too-low` when sending it costs more than was signed;
 * `claim/in-progress` when another claim has this nonce.
 */
export async function relayClaim(ctx: Ctx, signed: SignedClaim): Promise<RelayedClaim> {
  const { claim, signature } = signed
  const id = claimId(claim)
  const [known, sent] = await recorded(ctx, id)
  if (sent && known.status !== 'reverted') return sameClaim(ctx, signed, sent)
  const revertedInBlock = known.status === 'reverted' && known.txHash !== null
  if (revertedInBlock && Date.now() - (known.createdAt ?? 0) < REVERTED_PAUSE_MS)
    throw new Problem('claim/refused', {
      detail: `A relayed claim of this account reverted in ${known.txHash}: ${known.reason}. Send it yourself.`,
    })

  const client = chainClient(ctx.settings)
  await checkTerms(ctx, client, claim)
  const payout = await payoutOf(ctx, Number(claim.epoch), claim.account)
  if (payout?.cumulative !== claim.cumulative)
    throw new Problem('claim/refused', {
      detail: `Epoch ${claim.epoch} grants the account ${payout?.cumulative ?? 0n} wei, not ${claim.cumulative}.`,
    })
  const { index, proof } = payout
  const call = (fee: bigint): Hex =>
    encodeFunctionData({
      abi,
      functionName: 'claimBySignature',
      args: [claim, BigInt(index), proof, signature, fee],
    })
  // The chain's own word on signature, nonce, epoch and amounts.
  const gas = await estimate(ctx, client, call(claim.maxFee))
  const fee = await feeOf(client, { data: call(claim.maxFee), gas })
  if (fee > claim.maxFee) throw tooDear(fee, `the claim allows ${claim.maxFee}`)
  const data = call(fee)
  try {
    await enqueueTransaction(ctx, {
      key: keyOf(id),
      to: ctx.settings.CONTRACTS.attributionSettlement,
      data,
      value: 0n,
      budget: fee,
    })
  } catch (cause) {
    // A request with the same nonce may have come first.
    const first = await transactionData(ctx, keyOf(id))
    if (!first) throw cause
    return sameClaim(ctx, signed, first)
  }
  return findClaim(ctx, id)
}

/** A relayed claim by its id; throws `claim/not-found`. */
export async function findClaim(ctx: Ctx, id: string): Promise<RelayedClaim> {
  const [transaction, data] = await recorded(ctx, id)
  if (!data) throw new Problem('claim/not-found', { detail: `No claim has the id ${id}.` })
  const { claim, fee } = decodeCall(data)
  const { txHash, blockNumber, reason, error } = transaction
  return {
    id,
    account: lowerCase(claim.account),
    to: lowerCase(claim.to),
    epoch: Number(claim.epoch),
    cumulative: claim.cumulative,
    fee,
    status: await statusOf(ctx, transaction),
    txHash,
    blockNumber,
    reason,
    error,
  }
}

async function statusOf(
  { settings }: Ctx,
  { status, final, blockNumber }: TransactionStatus,
): Promise<RelayedClaim['status']> {
  if (status === 'queued') return 'queued'
  if (status === 'reverted') return 'failed'
  if (status === 'sent' || blockNumber === null) return 'sent'
  if (final) return 'final'
  const safe = await readChain(() => chainClient(settings).getBlock({ blockTag: 'safe' }))
  return BigInt(blockNumber) <= safe.number ? 'safe' : 'sent'
}

/** The claim that has the nonce already, if it is this one. */
function sameClaim(ctx: Ctx, { claim, signature }: SignedClaim, data: Hex): Promise<RelayedClaim> {
  const id = claimId(claim)
  // The signature binds every term of it.
  if (decodeCall(data).signature !== signature)
    throw new Problem('claim/in-progress', {
      detail: `GET /v1/rewards/claims/${id} says how it is.`,
    })
  return findClaim(ctx, id)
}

async function checkTerms(ctx: Ctx, client: PublicClient, claim: Claim): Promise<void> {
  const [nonce, now] = await Promise.all([readNonce(ctx, client, claim.account), chainTime(client)])
  if (claim.nonce !== nonce)
    throw new Problem('claim/refused', {
      detail: `The account’s next nonce is ${nonce}, not ${claim.nonce}.`,
      param: 'claim.nonce',
    })
  const [soonest, latest] = [now + MIN_LIFE_SECONDS, now + MAX_LIFE_SECONDS]
  if (claim.deadline < soonest || claim.deadline > latest)
    throw new Problem('claim/refused', {
      detail: `The deadline has to be from ${soonest} to ${latest}, not ${claim.deadline}.`,
      param: 'claim.deadline',
    })
}

const readNonce = ({ settings }: Ctx, client: PublicClient, account: Hex): Promise<bigint> =>
  readChain(() =>
    client.readContract({
      address: settings.CONTRACTS.attributionSettlement,
      abi,
      functionName: 'nonces',
      args: [account],
    }),
  )

/** Unix seconds of the newest block: the contract's clock, which ours may differ from. */
const chainTime = async (client: PublicClient): Promise<bigint> =>
  (await readChain(() => client.getBlock({ blockTag: 'latest' }))).timestamp

/** Gas of a call of the settlement by the operator; throws `claim/refused` when it would revert. */
async function estimate({ settings }: Ctx, client: PublicClient, data: Hex): Promise<bigint> {
  try {
    return await client.estimateGas({
      account: operatorAddress(settings),
      to: settings.CONTRACTS.attributionSettlement,
      data,
    })
  } catch (cause) {
    const reason = revertReason(cause)
    if (reason === null) throw new Problem('chain/unavailable', { retryAfter: 2, cause })
    throw new Problem('claim/refused', { detail: `The chain answers ${reason}.` })
  }
}

async function feeOf(client: PublicClient, call: { data: Hex; gas: bigint }): Promise<bigint> {
  const { maxFeePerGas } = await readChain(() => client.estimateFeesPerGas())
  const cost = await readChain(() => worstCost(client, { ...call, maxFeePerGas }))
  return (cost * FEE_PERCENT) / 100n
}

const tooDear = (fee: bigint, but: string): Problem =>
  new Problem('claim/fee-too-low', { detail: `Sending it takes a fee of ${fee} wei, but ${but}.` })

/** Names a claim on the API; as many digits as make it unique and no more. */
const claimId = ({ account, nonce }: Pick<Claim, 'account' | 'nonce'>): string =>
  `clm_${account.slice(2)}_${nonce}`

const keyOf = (id: string): string => `claim:${id}`

/** How a claim's transaction stands, and its call. */
const recorded = (ctx: Ctx, id: string): Promise<[TransactionStatus, Hex | null]> =>
  Promise.all([transactionStatus(ctx, keyOf(id)), transactionData(ctx, keyOf(id))])

function decodeCall(data: Hex) {
  const { functionName, args } = decodeFunctionData({ abi, data })
  if (functionName !== 'claimBySignature') throw new Error(`a claim that calls ${functionName}`)
  const [claim, , , signature, fee] = args
  return { claim, signature, fee }
}
