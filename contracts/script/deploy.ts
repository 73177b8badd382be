import { parseArgs } from 'node:util'
import {
  createPublicClient,
  encodeDeployData,
  getAddress,
  http,
  type Abi,
  type PublicClient,
} from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { bytecode } from '#contracts/bytecode.ts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { fromHex, type Hex } from '#protocol/bytes.ts'
import {
  defaultParameters,
  PARAMETER_NAMES,
  parameterKey,
  PARAMETERS,
  type ParameterValues,
} from '#protocol/parameters.ts'
import { readAddresses, writeAddresses, type Contracts } from './address-file.ts'
import { createdAt, DeploymentError, sender, type Call, type Send } from './sender.ts'
import { wire } from './wire.ts'

export { DeploymentError, type Contracts }

export type Deployment = {
  rpcUrl: string
  chainId: number
  /** Pays, and governs until `governance` accepts. */
  deployerKey: Hex
  /** May register for others in both registries. */
  operator: Hex
  /** May submit epochs; the deployer posts its bond. */
  submitter: Hex
  /** Values that differ from protocol/parameters.ts, within its bounds; used by a new deployment only. */
  parameters?: Partial<ParameterValues>
  /** Is offered the governance of everything; it has to accept. */
  governance?: Hex
  /** JSON file of addresses: read to find an earlier deployment, written after a new one. */
  addressFile?: string
}

/**
 * Deploys the contracts, or finds them again by `addressFile`, then wires whatever is not wired yet: the vault's
 * settlement, the operator, the submitter and its bond. A second run sends nothing.
 * Throws DeploymentError when the chain is another, when the file's addresses hold other code than this
 * checkout's, or when a transaction reverts.
 */
export async function deployContracts(deployment: Deployment): Promise<Contracts> {
  const { rpcUrl, addressFile, deployerKey } = deployment
  const client = createPublicClient({ transport: http(rpcUrl), pollingInterval: 100 })
  const chainId = await client.getChainId()
  if (chainId !== deployment.chainId)
    throw new DeploymentError(`the chain at ${rpcUrl} is ${chainId}, not ${deployment.chainId}`)

  const send = sender(client, rpcUrl, deployerKey)
  const roles = { ...deployment, deployer: privateKeyToAddress(deployerKey) }
  const known = addressFile ? readAddresses(addressFile, chainId) : null
  if (known && (await isDeployed(client, known))) {
    await wire(client, send, known, roles)
    return known
  }
  const contracts = await create(client, send, deployment)
  if (addressFile) writeAddresses(addressFile, chainId, contracts)
  await wire(client, send, contracts, roles)
  return contracts
}

async function create(
  client: PublicClient,
  send: Send,
  deployment: Deployment,
): Promise<Contracts> {
  const deployer = privateKeyToAddress(deployment.deployerKey)
  const nonce = await client.getTransactionCount({ address: deployer, blockTag: 'pending' })
  const contracts: Contracts = {
    parameters: createdAt(deployer, nonce),
    datanetRegistry: createdAt(deployer, nonce + 1),
    modelRegistry: createdAt(deployer, nonce + 2),
    inferenceVault: createdAt(deployer, nonce + 3),
    attributionSettlement: createdAt(deployer, nonce + 4),
  }
  const { parameters, datanetRegistry, inferenceVault } = contracts
  const values = { ...defaultParameters(), ...deployment.parameters }
  const parameterColumns = [
    PARAMETER_NAMES.map(parameterKey),
    PARAMETER_NAMES.map((name) => values[name]),
    PARAMETER_NAMES.map((name) => PARAMETERS[name].min),
    PARAMETER_NAMES.map((name) => PARAMETERS[name].max),
  ]
  await send([
    creation(parametersAbi, bytecode.parameters, [deployer, ...parameterColumns]),
    creation(datanetRegistryAbi, bytecode.datanetRegistry, [parameters]),
    creation(modelRegistryAbi, bytecode.modelRegistry, [parameters, datanetRegistry]),
    creation(inferenceVaultAbi, bytecode.inferenceVault, [parameters]),
    creation(attributionSettlementAbi, bytecode.attributionSettlement, [
      parameters,
      inferenceVault,
    ]),
  ])
  if (!(await isDeployed(client, contracts)))
    throw new DeploymentError(`another process sends transactions of ${deployer}`)
  return contracts
}

const creation = (abi: Abi, code: Hex, args: readonly unknown[]): Call => ({
  data: encodeDeployData({ abi, bytecode: code, args }),
})

/** Whether all contracts are there (true) or none (false); throws when some or other ones are. */
async function isDeployed(client: PublicClient, contracts: Contracts): Promise<boolean> {
  const names = Object.keys(bytecode) as (keyof Contracts)[]
  const codes = await Promise.all(names.map((name) => client.getCode({ address: contracts[name] })))
  if (codes.every((code) => code === undefined)) return false
  names.forEach((name, i) => {
    if (!isCodeOf(fromHex(codes[i] ?? '0x'), fromHex(bytecode[name])))
      throw new DeploymentError(
        `${contracts[name]} does not hold this checkout's ${name} contract: deploy to a fresh chain or another file`,
      )
  })
  return true
}

/**
 * Whether deployed code comes from creation code. Creation code ends with the deployed code, in which
 * immutables are still zero.
 */
function isCodeOf(deployed: Uint8Array, created: Uint8Array): boolean {
  const template = created.subarray(created.length - deployed.length)
  return deployed.length > 0 && deployed.every((byte, i) => !template[i] || template[i] === byte)
}

const USAGE = `node contracts/script/deploy.ts --rpc URL [options]
  --operator ADDRESS    may register for others (default: the deployer)
  --submitter ADDRESS   may submit epochs (default: the deployer)
  --governance ADDRESS  is offered the governance of everything
  --set NAME=VALUE      parameter that differs from protocol/parameters.ts; repeatable
  --out FILE            keeps the addresses, and finds them again
The deployer's private key is read from DEPLOYER_KEY.`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rpc: { type: 'string' },
      operator: { type: 'string' },
      submitter: { type: 'string' },
      governance: { type: 'string' },
      set: { type: 'string', multiple: true },
      out: { type: 'string' },
    },
  })
  const deployerKey = process.env.DEPLOYER_KEY as Hex | undefined
  if (!values.rpc || !deployerKey) throw new DeploymentError(USAGE)
  const client = createPublicClient({ transport: http(values.rpc) })
  const deployer = privateKeyToAddress(deployerKey)
  const contracts = await deployContracts({
    rpcUrl: values.rpc,
    chainId: await client.getChainId(),
    deployerKey,
    operator: getAddress(values.operator ?? deployer),
    submitter: getAddress(values.submitter ?? deployer),
    ...(values.governance && { governance: getAddress(values.governance) }),
    parameters: parseOverrides(values.set ?? []),
    ...(values.out && { addressFile: values.out }),
  })
  console.log(JSON.stringify(contracts, null, 2))
}

/** Reads `name=value` parameter overrides; throws DeploymentError on an unknown name or a malformed value. */
function parseOverrides(settings: string[]): Partial<ParameterValues> {
  return Object.fromEntries(
    settings.map((setting) => {
      const [name = '', value = ''] = setting.split('=')
      if (!(name in PARAMETERS) || !/^\d+$/.test(value))
        throw new DeploymentError(
          `--set takes NAME=VALUE with a name of protocol/parameters.ts: ${setting}`,
        )
      return [name, BigInt(value)]
    }),
  )
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof DeploymentError ? error.message : error)
    process.exitCode = 1
  })
}
