import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { createPublicClient, http } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { deployContracts, type Contracts } from '../../contracts/script/deploy.ts'
import type { GovernorSettings } from '../../contracts/script/governor-settings.ts'
import { foundryBinary } from '../../contracts/script/foundry.ts'
import type { Hex } from '#protocol/bytes.ts'

/** First of anvil's well-known keys: rich on a fresh chain, worthless elsewhere. */
export const RICH_KEY: Hex = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'
const CHAIN_ID = 901612
const START_MS = 60_000 // a loaded machine is slow, not broken

export type Chain = {
  rpcUrl: string
  contracts: Contracts
  /** Variables of an edge on this chain, for `startEdge`. */
  vars: Record<string, string>
  stop: () => Promise<void>
}

/**
 * Starts anvil on a free port and deploys the contracts, with the operator key of the tests' edge in every role. It
 * governs too, unless a governor is asked for.
 */
export async function startChain(governor?: Partial<GovernorSettings>): Promise<Chain> {
  const port = await freePort()
  const child = spawn(
    foundryBinary('anvil'),
    ['--silent', '--network', 'optimism', '--slots-in-an-epoch', '4', '--block-time', '1'].concat([
      '--chain-id',
      String(CHAIN_ID),
      '--port',
      String(port),
    ]),
    { stdio: 'inherit' },
  )
  const stop = async () => {
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  const rpcUrl = `http://127.0.0.1:${port}`
  try {
    await listening(rpcUrl)
    const operator = privateKeyToAddress(RICH_KEY)
    const contracts = await deployContracts({
      rpcUrl,
      chainId: CHAIN_ID,
      deployerKey: RICH_KEY,
      operator,
      submitter: operator,
      parameters: { 'settlement.window': 2n },
      quickParameters: true,
      handOver: governor !== undefined,
      ...(governor && { governor }),
    })
    await safe(rpcUrl)
    const vars = { RPC_URL: rpcUrl, CONTRACTS: JSON.stringify(contracts), OPERATOR_KEY: RICH_KEY }
    return { rpcUrl, contracts, vars, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function listening(rpcUrl: string): Promise<void> {
  const client = createPublicClient({ transport: http(rpcUrl, { retryCount: 0 }) })
  const until = Date.now() + START_MS
  for (;;) {
    try {
      await client.getBlockNumber()
      return
    } catch (error) {
      if (Date.now() > until) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** Waits until what the newest block has is safe: an edge reads there, and answers 503 while it finds no contracts. */
async function safe(rpcUrl: string): Promise<void> {
  const client = createPublicClient({ transport: http(rpcUrl) })
  const deployed = await client.getBlockNumber()
  while ((await client.getBlock({ blockTag: 'safe' })).number < deployed)
    await new Promise((resolve) => setTimeout(resolve, 100))
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
