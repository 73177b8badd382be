import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { parseEther } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { parameterKey, PARAMETERS, type ParameterName } from '#protocol/parameters.ts'
import { deployContracts, DeploymentError, type Deployment } from '../script/deploy.ts'
import { CHAIN_ID, devAccount, startAnvil } from './anvil.ts'

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
    folder = mkdtempSync(join(tmpdir(), 'deploy-'))
    deployment = {
      rpcUrl: chain.rpcUrl,
      chainId: CHAIN_ID,
      deployerKey: deployer.key,
      operator: operator.address,
      submitter: submitter.address,
      addressFile: join(folder, 'state/addresses.json'),
    }
  })

  afterEach(() => rmSync(folder, { recursive: true }))

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

  test('that is repeated with other roles sends what differs', async () => {
    const first = await deployContracts(deployment)
    const count = await sent()
    const other = { ...deployment, operator: submitter.address, governance: operator.address }
    assert.deepEqual(await deployContracts(other), first)
    assert.equal(await sent(), count + 3) // an operator in both registries, and the offered governance
    const proposed = await chain.client.readContract({
      address: first.parameters,
      abi: parametersAbi,
      functionName: 'proposedGovernance',
    })
    assert.equal(proposed.toLowerCase(), operator.address)
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

  test('refuses another chain and values out of bounds', async () => {
    await assert.rejects(deployContracts({ ...deployment, chainId: 1 }), /is 901612, not 1/)
    await assert.rejects(
      deployContracts({ ...deployment, parameters: { 'settlement.window': 0n } }),
      /OutOfBounds|reverted/,
    )
  })
})
