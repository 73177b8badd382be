import { createWalletClient, getContractAddress, http, type PublicClient } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { lowerCase, type Hex } from '#protocol/bytes.ts'

/** A deployment that cannot be made, or a chain that holds another one. */
export class DeploymentError extends Error {}

/** A transaction; without `to` it creates a contract. */
export type Call = { to?: Hex; data: Hex; value?: bigint }

/** Sends calls that do not depend on each other, then waits for all. */
export type Send = (calls: Call[]) => Promise<void>

/** A sender of transactions in the account's nonce order. A reverted one throws DeploymentError. */
export function sender(client: PublicClient, rpcUrl: string, key: Hex): Send {
  const account = privateKeyToAccount(key)
  const wallet = createWalletClient({ account, transport: http(rpcUrl) })
  return async (calls) => {
    const { address } = account
    const first = await client.getTransactionCount({ address, blockTag: 'pending' })
    const hashes: Hex[] = []
    for (const [i, call] of calls.entries())
      hashes.push(await wallet.sendTransaction({ ...call, nonce: first + i, chain: null }))
    for (const hash of hashes) {
      const { status } = await client.waitForTransactionReceipt({ hash })
      if (status !== 'success') throw new DeploymentError(`transaction ${hash} reverted`)
    }
  }
}

/** Address of the contract that an account creates at a nonce, lower case. */
export const createdAt = (from: Hex, nonce: number): Hex =>
  lowerCase(getContractAddress({ from, nonce: BigInt(nonce) }))
