import { parseArgs } from 'node:util'
import {
  createPublicClient,
  encodeDeployData,
  getAddress,
  http,
  parseEther,
  type PublicClient,
} from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { bytecode } from '#contracts/bytecode.ts'
import { openBridgeL1Abi } from '#contracts/open-bridge-l1.ts'
import { openBridgeL2Abi } from '#contracts/open-bridge-l2.ts'
import type { Hex } from '#protocol/bytes.ts'
import { createdAt, DeploymentError, sender } from './sender.ts'

/** Predeploys of an OP Stack chain with a custom gas token. */
export const L2_MESSENGER: Hex = '0x4200000000000000000000000000000000000007'
export const LIQUIDITY_CONTROLLER: Hex = '0x420000000000000000000000000000000000002a'

export type BridgeDeployment = {
  l1RpcUrl: string
  l2RpcUrl: string
  /** Pays on both chains; has no role afterwards. */
  deployerKey: Hex
  /** The OPEN ERC-20 on L1. */
  token: Hex
  /** The chain's L1CrossDomainMessenger. */
  l1Messenger: Hex
  /** Wei that an end lets in at once. */
  capacity: bigint
  /** Wei by which that recovers each second. */
  perSecond: bigint
}

/** Addresses of both ends, lower case. */
export type Bridge = { openBridgeL1: Hex; openBridgeL2: Hex }

/**
 * Deploys both ends, each with the other's address, which is known by the deployer's nonces. The owner of the
 * LiquidityController has to authorize the end on L2 as a minter afterwards. Throws DeploymentError when a transaction
 * reverts, or when another process sends transactions of the deployer.
 */
export async function deployBridge(deployment: BridgeDeployment): Promise<Bridge> {
  const { l1RpcUrl, l2RpcUrl, deployerKey, token, l1Messenger, capacity, perSecond } = deployment
  const l1 = createPublicClient({ transport: http(l1RpcUrl), pollingInterval: 100 })
  const l2 = createPublicClient({ transport: http(l2RpcUrl), pollingInterval: 100 })
  const deployer = privateKeyToAddress(deployerKey)
  const bridge: Bridge = {
    openBridgeL1: createdAt(deployer, await nonceOf(l1, deployer)),
    openBridgeL2: createdAt(deployer, await nonceOf(l2, deployer)),
  }
  const onL1 = encodeDeployData({
    abi: openBridgeL1Abi,
    bytecode: bytecode.openBridgeL1,
    args: [token, l1Messenger, bridge.openBridgeL2, capacity, perSecond],
  })
  const onL2 = encodeDeployData({
    abi: openBridgeL2Abi,
    bytecode: bytecode.openBridgeL2,
    args: [LIQUIDITY_CONTROLLER, L2_MESSENGER, bridge.openBridgeL1, capacity, perSecond],
  })
  await sender(l1, l1RpcUrl, deployerKey)([{ data: onL1 }])
  await sender(l2, l2RpcUrl, deployerKey)([{ data: onL2 }])
  const codes = [
    await l1.getCode({ address: bridge.openBridgeL1 }),
    await l2.getCode({ address: bridge.openBridgeL2 }),
  ]
  if (codes.includes(undefined))
    throw new DeploymentError(`another process sends transactions of ${deployer}`)
  return bridge
}

const nonceOf = (client: PublicClient, address: Hex): Promise<number> =>
  client.getTransactionCount({ address, blockTag: 'pending' })

const USAGE = `node contracts/script/deploy-bridge.ts --l1-rpc URL --l2-rpc URL --token ADDRESS --l1-messenger ADDRESS [options]

Deploys the bridge between the OPEN ERC-20 on L1 and native OPEN on an L2 with a custom gas token.

  --token ADDRESS         the OPEN ERC-20 on L1
  --l1-messenger ADDRESS  the L2's L1CrossDomainMessenger
  --capacity OPEN         that an end lets in at once (default 1000000)
  --per-second OPEN       by which that recovers (default 10)

The deployer's private key is read from DEPLOYER_KEY. Afterwards the owner of the LiquidityController
(${LIQUIDITY_CONTROLLER}) has to call authorizeMinter(openBridgeL2).`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'l1-rpc': { type: 'string' },
      'l2-rpc': { type: 'string' },
      token: { type: 'string' },
      'l1-messenger': { type: 'string' },
      capacity: { type: 'string', default: '1000000' },
      'per-second': { type: 'string', default: '10' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return console.log(USAGE)
  const { 'l1-rpc': l1RpcUrl, 'l2-rpc': l2RpcUrl, token, 'l1-messenger': l1Messenger } = values
  const deployerKey = process.env.DEPLOYER_KEY as Hex | undefined
  if (!l1RpcUrl || !l2RpcUrl || !token || !l1Messenger || !deployerKey)
    throw new DeploymentError(USAGE)
  const bridge = await deployBridge({
    l1RpcUrl,
    l2RpcUrl,
    deployerKey,
    token: getAddress(token),
    l1Messenger: getAddress(l1Messenger),
    capacity: parseEther(values.capacity),
    perSecond: parseEther(values['per-second']),
  })
  console.log(JSON.stringify(bridge, null, 2))
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof DeploymentError ? error.message : error)
    process.exitCode = 1
  })
}
