/** A local chain with the contracts, for tests of what the worker reads from it. */
import { spawn } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createPublicClient, createWalletClient, http, type Abi } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import type { AdapterManifest, BlobRef } from '#protocol/wire.ts'
import { deployContracts } from '../../contracts/script/deploy.ts'
import { foundryBinary } from '../../contracts/script/foundry.ts'

/** anvil's first development key. */
const KEY: Hex = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'
const CHAIN_ID = 901612
const READY_WITHIN_MS = 20_000

const fee = (name: 'fee.model' | 'fee.datanet') => ({ value: PARAMETERS[name].value })

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

/** Starts anvil and deploys; the deployer may register everything. */
export async function startTestChain() {
  const port = await freePort()
  const anvil = spawn(
    foundryBinary('anvil'),
    ['--port', String(port), '--chain-id', String(CHAIN_ID), '--silent'],
    { stdio: 'ignore' },
  )
  const rpcUrl = `http://127.0.0.1:${port}`
  const reader = createPublicClient({ transport: http(rpcUrl), pollingInterval: 50 })
  const deadline = Date.now() + READY_WITHIN_MS
  while (!(await reader.getChainId().catch(() => null))) {
    if (Date.now() > deadline) throw new Error('anvil does not start')
    await sleep(50)
  }
  const account = privateKeyToAccount(KEY)
  const operator = account.address
  const contracts = await deployContracts({
    rpcUrl,
    chainId: CHAIN_ID,
    deployerKey: KEY,
    operator,
    submitter: operator,
  })
  const wallet = createWalletClient({ account, transport: http(rpcUrl) })
  const send = async (call: {
    address: Hex
    abi: Abi
    functionName: string
    args: readonly unknown[]
    value?: bigint
  }) => {
    const hash = await wallet.writeContract({ ...call, chain: null })
    const { status } = await reader.waitForTransactionReceipt({ hash })
    if (status !== 'success') throw new Error(`${call.functionName} reverted`)
  }
  const models = { address: contracts.modelRegistry, abi: modelRegistryAbi } as const
  const datanets = { address: contracts.datanetRegistry, abi: datanetRegistryAbi } as const
  return {
    rpcUrl,
    chainId: CHAIN_ID,
    contracts,
    registerBase: (digest: Hex, owner: Hex, price: bigint) =>
      send({
        ...models,
        functionName: 'registerBase',
        args: [digest, owner, price, digest],
        ...fee('fee.model'),
      }),
    publishVersion: async (id: string, owner: Hex, root: Hex, manifest: Hex, records: number) => {
      const datanet = keccak(id)
      const args = [datanet, owner, keccak('metadata'), keccak('CC-BY-4.0'), 0]
      await send({ ...datanets, functionName: 'createDatanet', args, ...fee('fee.datanet') })
      await send({
        ...datanets,
        functionName: 'publishVersion',
        args: [datanet, 1, root, manifest, records],
      })
    },
    registerAdapter: (manifest: AdapterManifest, blob: BlobRef, price: bigint) =>
      send({
        ...models,
        functionName: 'registerAdapter',
        args: [
          {
            digest: manifest.digest,
            base: manifest.base.digest,
            indexRoot: manifest.indexRoot,
            manifestHash: blob.sha256,
            owner: manifest.owner,
            pricePerToken: price,
            datanetRoots: manifest.datanets.map(({ root }) => root),
          },
        ],
        ...fee('fee.model'),
      }),
    stop: () => anvil.kill('SIGKILL'),
  }
}
