import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { createTestClient, http, publicActions, walletActions } from 'viem'
import { mnemonicToAccount } from 'viem/accounts'
import { lowerCase, toHex, type Hex } from '#protocol/bytes.ts'
import { foundryBinary } from '../script/foundry.ts'

export const CHAIN_ID = 901_612

/** Account `i` of anvil's well-known mnemonic, rich on every fresh chain, with its private key. */
export function devAccount(i: number) {
  const account = mnemonicToAccount('test test test test test test test test test test test junk', {
    addressIndex: i,
  })
  const key: Hex = toHex(account.getHdKey().privateKey!)
  return { account, address: lowerCase(account.address), key }
}

/** Starts a chain of its own on a free port; every transaction is mined at once. Call `stop` at the end. */
export async function startAnvil() {
  const child = spawn(
    foundryBinary('anvil'),
    ['--port', '0', '--network', 'optimism', '--chain-id', String(CHAIN_ID)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let address: string | undefined
  for await (const line of createInterface(child.stdout)) {
    address = /^Listening on (\S+)/.exec(line)?.[1]
    if (address) break
  }
  child.stdout.resume()
  if (!address) throw new Error('anvil ended before it listened')
  const rpcUrl = `http://${address}`
  const client = createTestClient({ mode: 'anvil', transport: http(rpcUrl), pollingInterval: 20 })
    .extend(publicActions)
    .extend(walletActions)
  return { rpcUrl, client, stop: () => child.kill() }
}
