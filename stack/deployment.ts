import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createTestClient, createWalletClient, http, parseEther, type HDAccount } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import { lowerCase, sha256Hex, toHex, type Hex } from '#protocol/bytes.ts'
import { baseDigest } from '#protocol/model.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import { readAddresses, type Contracts } from '../contracts/script/address-file.ts'
import { deployContracts, DeploymentError } from '../contracts/script/deploy.ts'
import { DEV } from './accounts.ts'
import { CHAIN_ID, chainReader, localChain } from './chain.ts'
import { MODEL_DIR } from './gpu-worker.ts'
import type { Secrets, StateDirs } from './settings.ts'
import { StackError } from './stack-error.ts'

export type { Contracts }

/** Windows short enough to watch; everything else is what production starts with. */
const LOCAL_PARAMETERS = { 'settlement.window': 3n, 'vault.withdrawDelay': 60n }
/** A proposal that can be voted through by hand within a minute, by anyone with ten OPEN. */
const LOCAL_GOVERNOR = {
  votingDelay: 1n, // seconds, like all that follow
  votingPeriod: 20n,
  lateQuorumExtension: 5n,
  timelockDelay: 3n,
  proposalThreshold: parseEther('1'),
  minimumSupply: parseEther('10'),
}
const BASE_PRICE_PER_TOKEN = 10n ** 12n // wei; a hundred tokens cost 0.0001 OPEN
const MODEL_FEE = parseEther('0.01') // fee.model of protocol/parameters.ts
const OPERATOR_FUNDS = parseEther('1000') // gas, registration fees and contribution bonds

/**
 * The contracts of a state folder, deployed at the first start; also funds the operator, stakes for the worker and registers the embedded
 * base model. Sends only what is missing, so that a start that was cut short is finished by the next.
 */
export async function ensureDeployment(
  dirs: StateDirs,
  rpcUrl: string,
  secrets: Secrets,
): Promise<Contracts> {
  const addressFile = join(dirs.root, 'deployment.json')
  const known = readAddresses(addressFile, CHAIN_ID)
  if (known && !(await chainReader(rpcUrl).getCode({ address: known.parameters })))
    throw new StackError('chain', 'it lost the contracts of its state folder; --fresh starts over')
  const operator = lowerCase(privateKeyToAddress(secrets.operatorKey))
  const deploy = async () => {
    const contracts = await deployContracts({
      rpcUrl,
      chainId: CHAIN_ID,
      deployerKey: toHex(DEV.governance.getHdKey().privateKey ?? new Uint8Array()),
      operator,
      submitter: operator,
      parameters: LOCAL_PARAMETERS,
      quickParameters: true,
      governor: LOCAL_GOVERNOR,
      addressFile,
    })
    const worker = privateKeyToAddress(secrets.workerKey)
    await Promise.all([
      fund(rpcUrl, operator).then(() => stake(rpcUrl, contracts, worker)),
      registerBase(rpcUrl, contracts),
    ])
    return contracts
  }
  try {
    return await (known ? deploy() : withInstantBlocks(rpcUrl, deploy))
  } catch (cause) {
    if (!(cause instanceof DeploymentError)) throw cause
    throw new StackError('chain', `${cause.message}; --fresh starts over`, { cause })
  }
}

async function fund(rpcUrl: string, operator: Hex): Promise<void> {
  const reader = chainReader(rpcUrl)
  const missing = OPERATOR_FUNDS - (await reader.getBalance({ address: operator }))
  if (missing < OPERATOR_FUNDS / 2n) return
  const hash = await walletOf(DEV.faucet, rpcUrl).sendTransaction({ to: operator, value: missing })
  await reader.waitForTransactionReceipt({ hash })
}

/** Puts at stake for the worker what signing receipts takes. */
async function stake(rpcUrl: string, contracts: Contracts, worker: Hex): Promise<void> {
  const reader = chainReader(rpcUrl)
  const staking = { address: contracts.validatorStaking, abi: validatorStakingAbi } as const
  const known = await reader.readContract({
    ...staking,
    functionName: 'validatorOf',
    args: [worker],
  })
  const missing = PARAMETERS['staking.minimum'].value - known.stake
  if (missing <= 0n) return
  const hash = await walletOf(DEV.faucet, rpcUrl).writeContract({
    ...staking,
    functionName: 'stake',
    args: [worker],
    value: missing,
  })
  const { status } = await reader.waitForTransactionReceipt({ hash })
  if (status !== 'success') throw new StackError('chain', `the worker's stake ${hash} failed`)
}

async function registerBase(rpcUrl: string, { modelRegistry }: Contracts): Promise<void> {
  const reader = chainReader(rpcUrl)
  const registry = { address: modelRegistry, abi: modelRegistryAbi } as const
  const digest = embeddedBaseDigest()
  const known = await reader
    .readContract({ ...registry, functionName: 'baseOf', args: [digest] })
    .catch(() => null) // UnknownModel
  if (known) return
  const hash = await walletOf(DEV.modelOwner, rpcUrl).writeContract({
    ...registry,
    functionName: 'registerBase',
    args: [digest, DEV.modelOwner.address, BASE_PRICE_PER_TOKEN, digest],
    value: MODEL_FEE,
  })
  const { status } = await reader.waitForTransactionReceipt({ hash })
  if (status !== 'success')
    throw new StackError('chain', `the base model's registration ${hash} failed`)
}

/** Digest of the base model in gpu-worker/models. */
const embeddedBaseDigest = (): Hex =>
  baseDigest({
    config: hashFile('config.json'),
    tokenizer: hashFile('tokenizer.json'),
    weights: [hashFile('model.safetensors')],
  })

const hashFile = (name: string): Hex => sha256Hex(readFileSync(join(MODEL_DIR, name)))

/** A wallet of a local account. */
export const walletOf = (account: HDAccount, rpcUrl: string) =>
  createWalletClient({ account, chain: localChain(rpcUrl), transport: http(rpcUrl) })

/** Mines every transaction at once while `work` runs, instead of once a second. */
async function withInstantBlocks<T>(rpcUrl: string, work: () => Promise<T>): Promise<T> {
  const anvil = createTestClient({
    mode: 'anvil',
    chain: localChain(rpcUrl),
    transport: http(rpcUrl),
  })
  await anvil.setAutomine(true)
  try {
    return await work()
  } finally {
    await anvil.setIntervalMining({ interval: 1 })
  }
}
