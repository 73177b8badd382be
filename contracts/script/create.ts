import { encodeDeployData, type Abi, type PublicClient } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { bytecode } from '#contracts/bytecode.ts'
import { curationAbi } from '#contracts/curation.ts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { openGovernorAbi } from '#contracts/open-governor.ts'
import { openTimelockAbi } from '#contracts/open-timelock.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { votingOpenAbi } from '#contracts/voting-open.ts'
import { fromHex, type Hex } from '#protocol/bytes.ts'
import {
  defaultParameters,
  PARAMETER_NAMES,
  parameterKey,
  PARAMETERS,
  type ParameterValues,
} from '#protocol/parameters.ts'
import type { Contracts } from './address-file.ts'
import { GOVERNOR_SETTINGS, type GovernorSettings } from './governor-settings.ts'
import { createdAt, DeploymentError, type Send } from './sender.ts'

/** The ABI of every contract of a deployment. */
export const ABIS: Record<keyof Contracts, Abi> = {
  parameters: parametersAbi,
  datanetRegistry: datanetRegistryAbi,
  modelRegistry: modelRegistryAbi,
  inferenceVault: inferenceVaultAbi,
  attributionSettlement: attributionSettlementAbi,
  curation: curationAbi,
  votingOpen: votingOpenAbi,
  openTimelock: openTimelockAbi,
  openGovernor: openGovernorAbi,
}
const NAMES = Object.keys(ABIS) as (keyof Contracts)[]

export type Creation = {
  /** Governs at first. */
  deployer: Hex
  /** Values that differ from protocol/parameters.ts. */
  parameters?: Partial<ParameterValues>
  /** Settings that differ from governor-settings.ts. */
  governor?: Partial<GovernorSettings>
}

/** Creates all contracts; each knows the others' addresses beforehand, by the deployer's nonce. */
export async function create(
  client: PublicClient,
  send: Send,
  creation: Creation,
): Promise<Contracts> {
  const { deployer } = creation
  const nonce = await client.getTransactionCount({ address: deployer, blockTag: 'pending' })
  const contracts = Object.fromEntries(
    NAMES.map((name, i) => [name, createdAt(deployer, nonce + i)]),
  ) as Contracts
  const constructed = constructorArguments(creation, contracts)
  await send(
    NAMES.map((name) => ({
      data: encodeDeployData({
        abi: ABIS[name],
        bytecode: bytecode[name],
        args: constructed[name],
      }),
    })),
  )
  if (!(await isDeployed(client, contracts)))
    throw new DeploymentError(`another process sends transactions of ${deployer}`)
  return contracts
}

function constructorArguments(
  { deployer, parameters: changed, governor: changedSettings }: Creation,
  contracts: Contracts,
): Record<keyof Contracts, readonly unknown[]> {
  const { parameters, datanetRegistry, inferenceVault, votingOpen, openTimelock, openGovernor } =
    contracts
  const values = { ...defaultParameters(), ...changed }
  const settings = { ...GOVERNOR_SETTINGS, ...changedSettings }
  // Neither the timelock, whose roles would be a way around this list, nor the governor, which is always on it.
  const targets = NAMES.filter((name) => name !== 'openTimelock' && name !== 'openGovernor')
  return {
    parameters: [
      deployer,
      PARAMETER_NAMES.map(parameterKey),
      PARAMETER_NAMES.map((name) => values[name]),
      PARAMETER_NAMES.map((name) => PARAMETERS[name].min),
      PARAMETER_NAMES.map((name) => PARAMETERS[name].max),
    ],
    datanetRegistry: [parameters],
    modelRegistry: [parameters, datanetRegistry],
    inferenceVault: [parameters],
    attributionSettlement: [parameters, inferenceVault],
    curation: [parameters, datanetRegistry],
    votingOpen: [parameters],
    openTimelock: [settings.timelockDelay, openGovernor, parameters],
    openGovernor: [votingOpen, openTimelock, settings, targets.map((name) => contracts[name])],
  }
}

/** Whether all contracts are there (true) or none (false); throws when some or other ones are. */
export async function isDeployed(client: PublicClient, contracts: Contracts): Promise<boolean> {
  const codes = await Promise.all(NAMES.map((name) => client.getCode({ address: contracts[name] })))
  if (codes.every((code) => code === undefined)) return false
  NAMES.forEach((name, i) => {
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
