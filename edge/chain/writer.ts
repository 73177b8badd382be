import { DurableObject } from 'cloudflare:workers'
import { keccak256, parseTransaction, type PublicClient } from 'viem'
import { privateKeyToAccount, type PrivateKeyAccount } from 'viem/accounts'
import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import { PARAMETERS, type ParameterName } from '#protocol/parameters.ts'
import { log } from '../log.ts'
import { settingsOf, type Env, type Settings } from '../env.ts'
import type { TxEvent } from '../http/messages.ts'
import { chainClient, getBlockOrNull, optional } from './client.ts'
import {
  openOutbox,
  type Attempt,
  type OutboxEntry,
  type OutboxRow,
  type TransactionStatus,
} from './outbox.ts'
import { worstCost } from './fees.ts'
import { readParameters } from './parameters.ts'
import { revertReason } from './revert.ts'

const MAX_IN_FLIGHT = 16 // geth's pool takes this many pending transactions of one account without price
const POLL_MS = 500
const UNFINAL_POLL_MS = 2_000
const MAX_BACKOFF_MS = 15_000
const RESEND_MS = 5_000 // a node may have lost its pool; sending the same bytes again is harmless
const STUCK_MS = 30_000
const STUCK_BLOCKS = 5n // a chain that stands still is no reason to pay more
const LOST_ROUNDS = 60
const BUMP_PERCENT = 125n
const MIN_BUMP_PERCENT = 110n // nodes ask for that much to replace a transaction
const GAS_PERCENT = 125n
const MAX_WAITS = 5
const PATIENCE = 20 // failures of a transaction, about four minutes, until later ones may pass it
const KEEP_SIGNED_MS = 7 * 86_400_000

/**
 * The only sender of L2 transactions of one operator key. Everything is in SQLite before it is sent, so the object
 * may die at any point: signed bytes are sent again (the same hash: harmless), a nonce is never given out twice.
 */
export class ChainWriter extends DurableObject<Env> {
  readonly #outbox = openOutbox(this.ctx.storage)
  #failures = 0

  /** Takes a transaction; see `enqueueTransaction`. */
  async enqueue(entry: OutboxEntry): Promise<void> {
    this.#outbox.add(entry, Date.now())
    await this.#wake(0)
  }

  /** Where a transaction stands. */
  status(key: string): TransactionStatus {
    return this.#outbox.status(key)
  }

  /** The data of a transaction's call. */
  dataOf(key: string): Hex | null {
    return this.#outbox.data(key)
  }

  /** Runs a round soon: the sweep's remedy for an alarm that the platform gave up on. */
  async poke(): Promise<void> {
    await this.#wake(0)
  }

  override async alarm(): Promise<void> {
    try {
      await this.#round()
      this.#failures = 0
    } catch (error) {
      this.#failures++
      log('warn', { during: 'ChainWriter', failures: this.#failures, error })
    }
    const { moving, untold, unfinal } = this.#outbox.open()
    if (moving + untold + unfinal === 0) return
    if (this.#failures > 0)
      await this.#wake(Math.min(POLL_MS * 2 ** this.#failures, MAX_BACKOFF_MS))
    else if (moving + untold > 0) await this.#wake(POLL_MS)
    else await this.#wake(UNFINAL_POLL_MS)
  }

  async #wake(inMs: number): Promise<void> {
    const at = Date.now() + inMs
    const set = await this.ctx.storage.getAlarm()
    if (set === null || set > at) await this.ctx.storage.setAlarm(at)
  }

  async #round(): Promise<void> {
    const settings = settingsOf(this.env)
    const client = chainClient(settings)
    const operator = privateKeyToAccount(settings.OPERATOR_KEY)
    const [head, used, chainId] = await Promise.all([
      client.getBlockNumber(),
      client.getTransactionCount({ address: operator.address, blockTag: 'latest' }),
      client.getChainId(),
    ])
    // Whatever such a node says of nonces and receipts is of another chain.
    if (chainId !== settings.CHAIN_ID)
      throw new Error(`the node serves chain ${chainId}, not ${settings.CHAIN_ID}`)
    const round = { client, operator, settings, head, used }
    await this.#forgetReorged(client)
    for (const row of this.#outbox.sent()) await this.#collect(round, row)
    await this.#finalize(client)
    await this.#tell()
    await this.#pushSent(round)
    await this.#sendQueued(round)
  }

  /**
   * A chain's blocks imply each other, so the newest block that holds one of our transactions vouches for all
   * older ones. When it is gone (reorg, or a local chain restored from an older state), its transactions go back
   * in flight with the bytes they were signed with, and the next older one is asked.
   */
  async #forgetReorged(client: PublicClient): Promise<void> {
    for (let before = Number.MAX_SAFE_INTEGER; ;) {
      const newest = this.#outbox.mined(before)
      if (newest?.block_number == null) return
      if ((await blockHash(client, newest.block_number)) === newest.block_hash) return
      log('warn', { during: 'ChainWriter', reorged: newest.key, block: newest.block_number })
      this.#outbox.unmine(newest.block_number)
      before = newest.block_number
    }
  }

  /** Looks for a receipt of any attempt of a sent transaction. */
  async #collect(round: Round, row: OutboxRow): Promise<void> {
    const { client, used } = round
    for (const attempt of this.#outbox.attempts(row.key)) {
      const receipt = await optional(
        client.getTransactionReceipt({ hash: attempt.hash }),
        'TransactionReceiptNotFoundError',
      )
      if (!receipt) continue
      const mined = {
        tx_hash: receipt.transactionHash,
        block_number: Number(receipt.blockNumber),
        block_hash: receipt.blockHash,
        notified: 0,
      }
      if (receipt.status === 'success') this.#outbox.set(row.key, { ...mined, status: 'success' })
      else {
        const reason = await replay(round, { row, attempt, minedIn: receipt.blockNumber })
        this.#outbox.set(row.key, { ...mined, status: 'reverted', reason })
      }
      return
    }
    if (row.nonce === null || row.nonce >= used) return
    // The nonce is used up but none of our attempts was: somebody else signed with the same key. A node may serve
    // receipts later than counts, so this has to hold for some rounds.
    if (row.lost + 1 < LOST_ROUNDS) this.#outbox.set(row.key, { lost: row.lost + 1 })
    else this.#outbox.requeue(row.key)
  }

  async #finalize(client: PublicClient): Promise<void> {
    if (this.#outbox.unfinal().length === 0) return
    const { number } = await client.getBlock({ blockTag: 'finalized' })
    if (number !== null) this.#outbox.finalize(Number(number))
    this.#outbox.prune(Date.now() - KEEP_SIGNED_MS)
  }

  /** Puts outcomes on the EVENTS queue: marked as told after the send, so that a crash tells twice, never not. */
  async #tell(): Promise<void> {
    for (const row of this.#outbox.untold(100)) {
      const message: TxEvent = {
        type: 'tx',
        key: row.key,
        status: row.status === 'success' ? 'success' : 'reverted',
        txHash: row.tx_hash ?? ZERO_HASH,
        blockNumber: row.block_number ?? 0,
        ...(row.reason && { reason: row.reason }),
      }
      await this.env.EVENTS.send(message)
      this.#outbox.set(row.key, { notified: 1 })
    }
  }

  /** Sends again what has no receipt yet, and pays more for the oldest when the chain moves on without it. */
  async #pushSent(round: Round): Promise<void> {
    const now = Date.now()
    for (const [i, row] of this.#outbox.sent().entries()) {
      const [newest] = this.#outbox.attempts(row.key)
      if (!newest || row.nonce === null || row.nonce < round.used) continue
      const stuck =
        i === 0 &&
        now - newest.signed_at >= STUCK_MS &&
        round.head - BigInt(newest.block) >= STUCK_BLOCKS
      if (stuck && (await this.#outbid(round, row, row.nonce, newest))) continue
      if (now - newest.sent_at >= RESEND_MS) {
        this.#outbox.resent(newest.hash, now)
        await this.#send(round.client, row.key, newest.raw)
      }
    }
  }

  async #sendQueued(round: Round): Promise<void> {
    const now = Date.now()
    // A block may have come between the count of nonces and the receipts in it.
    const used = Math.max(round.used, this.#outbox.nextNonce())
    let nonces = this.#outbox.sent().flatMap((row) => row.nonce ?? [])
    for (const row of this.#outbox.queued(MAX_IN_FLIGHT)) {
      if (nonces.length >= MAX_IN_FLIGHT) return
      if (row.next_at > now) {
        if (keepsOrder(row)) return
        continue
      }
      const waitsFor = row.wait_nonce
      if (waitsFor !== null && nonces.some((nonce) => nonce <= waitsFor)) continue
      try {
        await this.#price(round, row, freeNonce(used, nonces))
      } catch (error) {
        const reason = revertReason(error)
        if (reason === null) {
          this.#postpone(row, error)
          if (keepsOrder(row)) return
        }
        // It may depend on what is still in flight, so only a failure behind all of that counts.
        else if (nonces.length > 0 && row.tries < MAX_WAITS)
          this.#outbox.set(row.key, { wait_nonce: Math.max(...nonces), tries: row.tries + 1 })
        else this.#refuse(row, reason)
      }
      nonces = this.#outbox.sent().flatMap((sent) => sent.nonce ?? [])
    }
  }

  /** Never sent and never will be, hence final at once. */
  #refuse(row: OutboxRow, reason: string): void {
    log('warn', { during: 'ChainWriter', key: row.key, reason })
    this.#outbox.set(row.key, { status: 'reverted', reason, final: 1, notified: 0 })
  }

  #postpone(row: OutboxRow, error: unknown): void {
    const tries = row.tries + 1
    const message = messageOf(error, 500)
    log('warn', { during: 'ChainWriter', key: row.key, tries, error: message })
    this.#outbox.set(row.key, {
      tries,
      error: message,
      next_at: Date.now() + Math.min(POLL_MS * 2 ** tries, MAX_BACKOFF_MS),
    })
  }

  /** Simulates and prices a transaction, then signs it. Throws when it would revert or costs too much now. */
  async #price(round: Round, row: OutboxRow, nonce: number): Promise<void> {
    const { client, operator, settings } = round
    const value = await weiOf(settings, row)
    const call = { to: row.to_address, data: row.data, value }
    const [gas, fees] = await Promise.all([
      client.estimateGas({ ...call, account: operator.address, blockTag: 'pending' }),
      client.estimateFeesPerGas(),
    ])
    const tip = fees.maxPriorityFeePerGas
    const maxFee = larger(fees.maxFeePerGas, tip)
    if (maxFee > settings.MAX_FEE_PER_GAS)
      throw new Error(`gas costs ${maxFee} wei, more than MAX_FEE_PER_GAS`)
    if (row.budget !== null) {
      const cost = await worstCost(client, { data: row.data, gas, maxFeePerGas: maxFee })
      if (cost > BigInt(row.budget))
        throw new Error(`it would cost ${cost} wei, and may cost ${row.budget}`)
    }
    await this.#sign(round, row, { nonce, value, gas: (gas * GAS_PERCENT) / 100n, maxFee, tip })
  }

  /**
   * Pays more for an attempt that is stuck, also when that costs more than a budget: all that is sent later waits for
   * its nonce. False when MAX_FEE_PER_GAS leaves no room for what nodes take as a replacement.
   */
  async #outbid(round: Round, row: OutboxRow, nonce: number, attempt: Attempt): Promise<boolean> {
    const fees = await round.client.estimateFeesPerGas()
    const [offered, offeredTip] = [BigInt(attempt.max_fee), BigInt(attempt.tip)]
    const most = round.settings.MAX_FEE_PER_GAS
    const maxFee = smaller(larger(fees.maxFeePerGas, raised(offered, BUMP_PERCENT)), most)
    if (maxFee < raised(offered, MIN_BUMP_PERCENT)) return false
    const tip = smaller(larger(fees.maxPriorityFeePerGas, raised(offeredTip, BUMP_PERCENT)), maxFee)
    const value = await weiOf(round.settings, row) // what is due may have changed since it was sent
    await this.#sign(round, row, { nonce, value, gas: BigInt(attempt.gas), maxFee, tip })
    return true
  }

  /** Signs, writes down, then sends. */
  async #sign(
    { client, operator, settings, head }: Round,
    row: OutboxRow,
    { nonce, value, gas, maxFee, tip }: Terms,
  ): Promise<void> {
    const raw = await operator.signTransaction({
      to: row.to_address,
      data: row.data,
      value,
      type: 'eip1559',
      chainId: settings.CHAIN_ID,
      nonce,
      gas,
      maxFeePerGas: maxFee,
      maxPriorityFeePerGas: tip,
    })
    const now = Date.now()
    this.#outbox.sign(row.key, nonce, {
      hash: keccak256(raw),
      raw,
      gas: gas.toString(),
      max_fee: maxFee.toString(),
      tip: tip.toString(),
      signed_at: now,
      block: Number(head),
      sent_at: now,
    })
    await this.#send(client, row.key, raw)
  }

  /** Sends stored bytes. Whatever the node says, the receipt decides; the words are kept for `status`. */
  async #send(client: PublicClient, key: string, serializedTransaction: Hex): Promise<void> {
    try {
      await client.sendRawTransaction({ serializedTransaction })
    } catch (error) {
      const text = messageOf(error)
      if (!/already known|already imported|nonce too low/i.test(text))
        this.#outbox.set(key, { error: text.slice(0, 500) })
    }
  }
}

type Round = {
  client: PublicClient
  operator: PrivateKeyAccount
  settings: Settings
  head: bigint
  /** Nonces used up on chain: the next one is this. */
  used: number
}

/** What a transaction is signed with beside its call. */
type Terms = { nonce: number; value: bigint; gas: bigint; maxFee: bigint; tip: bigint }

/** Smallest nonce that neither the chain nor a transaction in flight has, so that gaps fill up. */
function freeNonce(used: number, inFlight: readonly number[]): number {
  let nonce = used
  while (inFlight.includes(nonce)) nonce++
  return nonce
}

/** The wei that are due for a transaction now. */
async function weiOf(settings: Settings, { value }: OutboxRow): Promise<bigint> {
  if (!isParameter(value)) return BigInt(value)
  return (await readParameters(settings)).values[value]
}

/** The wei that an attempt sends along. */
const valueOf = ({ raw }: Attempt): bigint => parseTransaction(raw).value ?? 0n

/** Whether later transactions wait for one that cannot be sent now, because they may build on it. */
const keepsOrder = ({ budget, tries }: OutboxRow): boolean => budget === null && tries < PATIENCE

const isParameter = (value: string): value is ParameterName => value in PARAMETERS

const blockHash = async (client: PublicClient, number: number): Promise<Hex | null> =>
  (await getBlockOrNull(client, number))?.hash ?? null

/** Why a mined transaction reverted: the same call on the state before its block. */
async function replay(
  { client, operator }: Round,
  { row, attempt, minedIn }: { row: OutboxRow; attempt: Attempt; minedIn: bigint },
): Promise<string> {
  try {
    await client.call({
      account: operator.address,
      to: row.to_address,
      data: row.data,
      value: valueOf(attempt),
      blockNumber: minedIn - 1n,
    })
    return 'reverted for a reason that the state before its block does not show'
  } catch (error) {
    return revertReason(error) ?? 'reverted'
  }
}

const larger = (a: bigint, b: bigint): bigint => (b > a ? b : a)
const smaller = (a: bigint, b: bigint): bigint => (b < a ? b : a)
const raised = (wei: bigint, percent: bigint): bigint => (wei * percent) / 100n + 1n
