/**
 * The transactions of a watching validator. Each is signed once and written down before it is sent, so that one that was
 * under way when the validator died is sent again to the byte and takes effect once.
 */
import {
  createWalletClient,
  http,
  keccak256,
  TransactionReceiptNotFoundError,
  type Chain,
  type LocalAccount,
  type PublicClient,
  type TransactionReceipt,
} from 'viem'
import type { Hex } from '#protocol/bytes.ts'
import type { Sent, WatchState } from './watch-state.ts'

export type Wallet = {
  account: LocalAccount
  chain: Chain
  rpcUrl: string
  /** Reads what became of a transaction. */
  reader: PublicClient
}

export type Transaction = { to: Hex; data: Hex; value: bigint }

/** Sends a transaction under a key that names its intent, and waits until it is mined, reverted or not. */
export type Outbox = (key: string, transaction: Transaction) => Promise<TransactionReceipt>

/** A transaction cannot be priced anew, so it offers so many times the price of now; what it pays is the price then. */
const FEE_MARGIN = 4n
/** One part in so many more gas than an estimate of a moment before. */
const GAS_MARGIN = 4n
const MINED_WITHIN_MS = 120_000

/** Sends one transaction after the other. Throws when one is not mined in time; asked again, it goes on waiting. */
export function openOutbox(
  { account, chain, rpcUrl, reader }: Wallet,
  state: Pick<WatchState, 'sent' | 'saveSent' | 'forgetSent'>,
): Outbox {
  const wallet = createWalletClient({ account, chain, transport: http(rpcUrl) })

  const sign = async (transaction: Transaction): Promise<Sent> => {
    const { maxFeePerGas, maxPriorityFeePerGas } = await reader.estimateFeesPerGas()
    const nonce = await reader.getTransactionCount({
      address: account.address,
      blockTag: 'pending',
    })
    const gas = await reader.estimateGas({ account: account.address, ...transaction })
    const raw = await account.signTransaction({
      ...transaction,
      chainId: chain.id,
      nonce,
      type: 'eip1559',
      gas: gas + gas / GAS_MARGIN,
      maxFeePerGas: maxFeePerGas * FEE_MARGIN,
      maxPriorityFeePerGas,
    })
    return { hash: keccak256(raw), raw, nonce }
  }

  /** Whether it is mined, or can still be: nothing else has taken its nonce. */
  const isAlive = async ({ hash, nonce }: Sent): Promise<boolean> => {
    const next = await reader.getTransactionCount({ address: account.address })
    if (next <= nonce) return true
    try {
      await reader.getTransactionReceipt({ hash })
      return true
    } catch (error) {
      if (error instanceof TransactionReceiptNotFoundError) return false
      throw error
    }
  }

  return async (key, transaction) => {
    const known = state.sent(key)
    if (known && !(await isAlive(known))) state.forgetSent(key)
    const sent = state.sent(key) ?? (await sign(transaction))
    state.saveSent(key, sent)
    await wallet.sendRawTransaction({ serializedTransaction: sent.raw }).catch((error: unknown) => {
      // Known to the node already, or mined: then its receipt comes.
      if (!/already known|already imported|nonce too low/i.test(String(error))) throw error
    })
    const receipt = await reader.waitForTransactionReceipt({
      hash: sent.hash,
      timeout: MINED_WITHIN_MS,
    })
    if (receipt.status === 'reverted') state.forgetSent(key) // it may be tried again
    return receipt
  }
}
