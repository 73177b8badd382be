import {
  createWalletClient,
  encodeFunctionData,
  http,
  type Account,
  type Chain,
  type PublicClient,
  type TransactionReceipt,
} from 'viem'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { revertReason } from '#edge/chain/revert.ts'
import type { Hex } from '#protocol/bytes.ts'
import { formatOpen } from './format.ts'

export type WalletOptions = {
  account: Account
  chain: Chain
  rpcUrl: string
  /** Reads what became of a transaction. */
  reader: PublicClient
}

/** Sends a transaction and waits until it is mined; throws, naming the reason, when the chain refuses it. */
export async function sendTransaction(
  { account, chain, rpcUrl, reader }: WalletOptions,
  transaction: { to?: Hex; value?: bigint; data?: Hex; gas?: bigint },
): Promise<TransactionReceipt> {
  const wallet = createWalletClient({ account, chain, transport: http(rpcUrl) })
  const hash = await wallet.sendTransaction(transaction).catch((error: unknown) => {
    const reason = revertReason(error)
    throw reason === null ? error : new Error(`the chain refuses it: ${reason}`)
  })
  const receipt = await reader.waitForTransactionReceipt({ hash })
  if (receipt.status !== 'success') throw new Error(`transaction ${hash} reverted`)
  return receipt
}

/** Throws unless the wallet has more than an amount (wei), which it is going to send with gas. */
export async function requireFunds({ account, reader }: WalletOptions, wei: bigint): Promise<void> {
  const balance = await reader.getBalance({ address: account.address })
  if (balance <= wei)
    throw new Error(
      `the wallet holds ${formatOpen(balance)}: too little for ${formatOpen(wei)} and the gas`,
    )
}

/** Pays $OPEN (wei) into the vault for an account that will call models. */
export const deposit = (
  wallet: WalletOptions,
  { vault, beneficiary, amount }: { vault: Hex; beneficiary: Hex; amount: bigint },
): Promise<TransactionReceipt> =>
  sendTransaction(wallet, {
    to: vault,
    value: amount,
    data: encodeFunctionData({
      abi: inferenceVaultAbi,
      functionName: 'deposit',
      args: [beneficiary],
    }),
  })
