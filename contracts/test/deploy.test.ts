import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, beforeEach, describe, test } from 'node:test'
import { parseEther, zeroAddress, type AbiFunction } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { openTimelockAbi } from '#contracts/open-timelock.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { parameterKey, PARAMETERS, type ParameterName } from '#protocol/parameters.ts'
import type { Contracts } from '../script/address-file.ts'
import { ABIS } from '../script/create.ts'
import { deployContracts, DeploymentError, type Deployment } from '../script/deploy.ts'
import { root } from '../script/foundry.ts'
import { CHAIN_ID, devAccount, startAnvil } from './anvil.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const [deployer, operator, submitter] = [devAccount(0), devAccount(1), devAccount(2)]

describe('a deployment', () => {
  let chain: Awaited<ReturnType<typeof startAnvil>>
  let folder: string
  let deployment: Deployment

  before(async () => {
    chain = await startAnvil()
  })
  after(() => chain.stop())
  beforeEach(() => {
    folder = scratchFolder()
    deployment = {
      rpcUrl: chain.rpcUrl,
      chainId: CHAIN_ID,
      deployerKey: deployer.key,
      operator: operator.address,
      submitter: submitter.address,
      addressFile: join(folder, 'state/addresses.json'),
    }
  })

  const sent = () => chain.client.getTransactionCount({ address: deployer.address })

  test('wires everything, bonds the submitter and takes other parameter values', async () => {
    const contracts = await deployContracts({
      ...deployment,
      parameters: { 'settlement.window': 3n },
    })
    const read = (name: ParameterName) =>
      chain.client.readContract({
        address: contracts.parameters,
        abi: parametersAbi,
        functionName: 'get',
        args: [parameterKey(name)],
      })
    assert.equal(await read('settlement.window'), 3n)
    assert.equal(await read('fee.model'), PARAMETERS['fee.model'].value)
    const settlement = { address: contracts.attributionSettlement, abi: attributionSettlementAbi }
    const staker = await chain.client.readContract({
      ...settlement,
      functionName: 'submitterOf',
      args: [submitter.address],
    })
    assert.equal(staker.allowed, true)
    assert.equal(staker.bond, PARAMETERS['settlement.bond'].value)
    const known = await chain.client.readContract({
      address: contracts.inferenceVault,
      abi: inferenceVaultAbi,
      functionName: 'settlement',
    })
    assert.equal(known.toLowerCase(), contracts.attributionSettlement)
    const registrar = await chain.client.readContract({
      address: contracts.modelRegistry,
      abi: modelRegistryAbi,
      functionName: 'operator',
    })
    assert.equal(registrar.toLowerCase(), operator.address)
  })

  test('that is repeated sends nothing and finds the same addresses', async () => {
    const first = await deployContracts(deployment)
    const count = await sent()
    assert.deepEqual(await deployContracts(deployment), first)
    assert.equal(await sent(), count)
  })

  test('that kept its governance and is repeated with other roles sends what differs', async () => {
    const kept = { ...deployment, handOver: false }
    const first = await deployContracts(kept)
    const count = await sent()
    assert.deepEqual(await deployContracts({ ...kept, operator: submitter.address }), first)
    assert.equal(await sent(), count + 2) // an operator in both registries
    await deployContracts({ ...deployment, operator: submitter.address })
    assert.equal(await sent(), count + 4) // the hand-over, offered and accepted
  })

  test('that handed over refuses to change roles, and says who may', async () => {
    const contracts = await deployContracts(deployment)
    const count = await sent()
    await assert.rejects(
      deployContracts({ ...deployment, operator: submitter.address }),
      new RegExp(`${contracts.openTimelock} governs this deployment`, 'i'),
    )
    assert.equal(await sent(), count)
  })

  test('leaves no role with the deployer: the timelock governs, the governor alone works the timelock', async () => {
    const contracts = await deployContracts(deployment)
    const read = (contract: keyof Contracts, functionName: string, args: unknown[] = []) =>
      chain.client.readContract({
        address: contracts[contract],
        abi: ABIS[contract],
        functionName,
        args,
      })
    assert.equal(await lower(read('parameters', 'governance')), contracts.openTimelock)
    assert.equal(await lower(read('parameters', 'proposedGovernance')), zeroAddress)
    assert.equal(await lower(read('openGovernor', 'timelock')), contracts.openTimelock)

    const granted = await chain.client.getContractEvents({
      address: contracts.openTimelock,
      abi: openTimelockAbi,
      eventName: 'RoleGranted',
      fromBlock: 0n,
    })
    const holders = granted.map(({ args }) => args.account?.toLowerCase())
    assert.deepEqual(
      holders.toSorted(),
      [
        ...Array(3).fill(contracts.openGovernor), // proposes, cancels, executes
        contracts.openTimelock, // its own administrator
      ].toSorted(),
    )

    const guarded = governedFunctions()
    assert.ok(guarded.length >= 10)
    for (const { contract, functionName } of guarded) {
      const item = ABIS[contract].find((known) => 'name' in known && known.name === functionName)
      assert.equal(item?.type, 'function', `${contract}.${functionName}`)
      const args = (item as AbiFunction).inputs.map(({ type }) => zeroOf(type))
      await assert.rejects(
        chain.client.simulateContract({
          address: contracts[contract],
          abi: ABIS[contract],
          functionName,
          args,
          account: deployer.address,
        }),
        /NotGovernance|GovernorOnlyExecutor/,
        `${contract}.${functionName}`,
      )
    }
    const staker = await read('attributionSettlement', 'submitterOf', [deployer.address])
    assert.equal((staker as { allowed: boolean }).allowed, false)
    for (const registry of ['datanetRegistry', 'modelRegistry'] as const)
      assert.equal(await lower(read(registry, 'operator')), operator.address)
  })

  test('starts over on a chain that does not know the addresses', async () => {
    const snapshot = await chain.client.snapshot()
    await deployContracts(deployment)
    await chain.client.revert({ id: snapshot })
    const again = await deployContracts(deployment)
    assert.ok(await chain.client.getCode({ address: again.attributionSettlement }))
  })

  test('refuses addresses that hold other code, or only some of the contracts', async () => {
    const contracts = await deployContracts(deployment)
    const code = (await chain.client.getCode({ address: contracts.inferenceVault }))!
    await chain.client.setCode({ address: contracts.inferenceVault, bytecode: `${code}00` })
    await assert.rejects(deployContracts(deployment), /inferenceVault/)
    await chain.client.setCode({ address: contracts.inferenceVault, bytecode: '0x' })
    await assert.rejects(deployContracts(deployment), DeploymentError)
    await chain.client.setCode({ address: contracts.inferenceVault, bytecode: code })
    assert.deepEqual(await deployContracts(deployment), contracts)
  })

  test('whose deployer cannot pay the bond says so, and is completed when it can', async () => {
    await chain.client.setBalance({ address: deployer.address, value: parseEther('0.5') })
    await assert.rejects(deployContracts(deployment), /lacks 1 OPEN and the deployer has 0\.\d+/)
    await chain.client.setBalance({ address: deployer.address, value: parseEther('5') })
    const count = await sent()
    await deployContracts(deployment)
    assert.equal(await sent(), count + 1)
  })

  test('is one command that writes addresses and ABIs, and says what it cannot take', async () => {
    assert.match((await run('--help')).stdout, /--rpc URL/)
    const out = join(folder, 'addresses.json')
    const abi = join(folder, 'abi')
    const to = ['--rpc', chain.rpcUrl, '--out', out, '--abi', abi]
    const wrong = await run(...to, '--governor', 'quorum=5')
    assert.equal(wrong.code, 1)
    assert.match(wrong.stderr, /--governor takes NAME=VALUE .*quorumPercent.*: quorum=5/)
    const { code, stdout } = await run(...to, '--set', 'attribution.topK=20')
    assert.equal(code, 0)
    const kept = JSON.parse(readFileSync(out, 'utf8'))
    assert.equal(kept.chainId, CHAIN_ID)
    assert.deepEqual(kept.contracts, JSON.parse(stdout))
    assert.deepEqual(
      readdirSync(abi).toSorted(),
      Object.keys(kept.contracts)
        .map((name) => `${name}.json`)
        .toSorted(),
    )
  })

  test('refuses another chain and values out of bounds', async () => {
    await assert.rejects(deployContracts({ ...deployment, chainId: 1 }), /is 901612, not 1/)
    await assert.rejects(
      deployContracts({ ...deployment, parameters: { 'settlement.window': 0n } }),
      /OutOfBounds|reverted/,
    )
  })
})

const lower = async (value: Promise<unknown>) => String(await value).toLowerCase()

/** Runs deploy.ts as the deployer. */
async function run(...args: string[]) {
  const script = join(root, 'contracts/script/deploy.ts')
  const env = { ...process.env, DEPLOYER_KEY: deployer.key }
  const child = spawn(process.execPath, [script, ...args], { env })
  const exited = once(child, 'exit')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await exited
  return { code, stdout, stderr }
}

/** Every function of contracts/src that only the governance may call, by deployed contract. */
function governedFunctions(): { contract: keyof Contracts; functionName: string }[] {
  const folder = join(root, 'contracts/src')
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sol'))
    .flatMap((file) => {
      const source = readFileSync(join(folder, file), 'utf8')
      const functions = [...source.matchAll(/function (\w+)\([^{;]*?\bonlyGovernance\b/g)]
      const contracts = heirsOf(file.replace('.sol', ''))
      return contracts.flatMap((contract) =>
        functions.map(([, functionName = '']) => ({ contract, functionName })),
      )
    })
}

/** Deployed contracts that have an abstract contract's functions, or the contract itself. */
function heirsOf(name: string): (keyof Contracts)[] {
  if (name === 'Registry') return ['datanetRegistry', 'modelRegistry']
  if (name === 'Submitters') return ['attributionSettlement']
  return [`${name.charAt(0).toLowerCase()}${name.slice(1)}` as keyof Contracts]
}

function zeroOf(type: string): unknown {
  if (type.endsWith(']')) return []
  if (type === 'address') return zeroAddress
  if (type === 'bool') return false
  if (type.startsWith('bytes'))
    return type === 'bytes' ? '0x' : `0x${'00'.repeat(Number(type.slice(5)))}`
  return 0n
}
