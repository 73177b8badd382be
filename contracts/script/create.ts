import { encodeDeployData, type Abi, type PublicClient } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { bytecode } from '#contracts/bytecode.ts'
import { curationAbi } from '#contracts/curation.ts'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import { receiptChallengesAbi } from '#contracts/receipt-challenges.ts'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
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
  PARAMETER_BOUNDARY,
  PARAMETER_NAMES,
  parameterKey,
  PARAMETERS,
  ruleOf,
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
  validatorStaking: validatorStakingAbi,
  receiptChallenges: receiptChallengesAbi,
  epochChallenges: epochChallengesAbi,
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
  /** Whether governed numbers change at once and by any step, for chains to watch and test. */
  quickParameters?: boolean
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
  const [first, ...others] = NAMES.map((name) => ({
    data: encodeDeployData({
      abi: ABIS[name],
      bytecode: bytecode[name],
      args: constructed[name],
    }),
  }))
  // Parameters alone: some of the others read it while they are created.
  if (first) await send([first])
  await send(others)
  if (!(await isDeployed(client, contracts)))
    throw new DeploymentError(`another process sends transactions of ${deployer}`)
  return contracts
}

function constructorArguments(
  { deployer, parameters: changed, quickParameters, governor: changedSettings }: Creation,
  contracts: Contracts,
): Record<keyof Contracts, readonly unknown[]> {
  const { parameters, datanetRegistry, modelRegistry, inferenceVault, attributionSettlement } =
    contracts
  const { votingOpen, openTimelock, openGovernor } = contracts
  const values = { ...defaultParameters(), ...changed }
  const settings = { ...GOVERNOR_SETTINGS, ...changedSettings }
  // Neither the timelock, whose roles would be a way around this list, nor the governor, which is always on it.
  const targets = NAMES.filter((name) => name !== 'openTimelock' && name !== 'openGovernor')
  return {
    parameters: [
      deployer,
      quickParameters ? 1 : PARAMETER_BOUNDARY,
      PARAMETER_NAMES.map(parameterKey),
      PARAMETER_NAMES.map((name) => values[name]),
      PARAMETER_NAMES.map((name) =>
        quickParameters
          ? { ...ruleOf(name), maxStep: PARAMETERS[name].max, cooldown: 0, delay: 0 }
          : ruleOf(name),
      ),
    ],
    datanetRegistry: [parameters],
    modelRegistry: [parameters, datanetRegistry],
    inferenceVault: [parameters],
    attributionSettlement: [
      parameters,
      inferenceVault,
      {
        staking: contracts.validatorStaking,
        receiptChallenges: contracts.receiptChallenges,
        epochChallenges: contracts.epochChallenges,
        treasury: openTimelock, // the platform's part is the governance's
      },
    ],
    validatorStaking: [parameters, attributionSettlement, votingOpen],
    receiptChallenges: [attributionSettlement, parameters, modelRegistry, datanetRegistry],
    epochChallenges: [attributionSettlement, parameters],
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
