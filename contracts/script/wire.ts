import { encodeFunctionData, formatEther, isAddressEqual, type PublicClient } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { ZERO_ADDRESS, type Hex } from '#protocol/bytes.ts'
import { parameterKey } from '#protocol/parameters.ts'
import type { Contracts } from './address-file.ts'
import { DeploymentError, type Call, type Send } from './sender.ts'

/** Who does what; `governance` is offered the governance of everything and has to accept. */
export type Roles = { deployer: Hex; operator: Hex; submitter: Hex; governance?: Hex }

/**
 * Brings the vault's settlement, roles, bond and offered governance to what is asked for. Reads first and sends
 * only what differs, so that a second run sends nothing. Throws DeploymentError, after everything else, when the
 * deployer cannot pay the bond.
 */
export async function wire(
  client: PublicClient,
  send: Send,
  contracts: Contracts,
  { deployer, operator, submitter, governance }: Roles,
): Promise<void> {
  const parameters = { address: contracts.parameters, abi: parametersAbi } as const
  const datanets = { address: contracts.datanetRegistry, abi: datanetRegistryAbi } as const
  const models = { address: contracts.modelRegistry, abi: modelRegistryAbi } as const
  const vault = { address: contracts.inferenceVault, abi: inferenceVaultAbi } as const
  const settlement = {
    address: contracts.attributionSettlement,
    abi: attributionSettlementAbi,
  } as const
  const [
    vaultSettlement,
    datanetOperator,
    modelOperator,
    staker,
    bond,
    proposed,
    governing,
    funds,
  ] = await Promise.all([
    client.readContract({ ...vault, functionName: 'settlement' }),
    client.readContract({ ...datanets, functionName: 'operator' }),
    client.readContract({ ...models, functionName: 'operator' }),
    client.readContract({ ...settlement, functionName: 'submitterOf', args: [submitter] }),
    client.readContract({
      ...parameters,
      functionName: 'get',
      args: [parameterKey('settlement.bond')],
    }),
    client.readContract({ ...parameters, functionName: 'proposedGovernance' }),
    client.readContract({ ...parameters, functionName: 'governance' }),
    client.getBalance({ address: deployer }),
  ])

  const calls: Call[] = []
  const call = (to: Hex, data: Hex, value?: bigint) => calls.push({ to, data, value })
  if (isAddressEqual(vaultSettlement, ZERO_ADDRESS))
    call(
      vault.address,
      encodeFunctionData({
        ...vault,
        functionName: 'setSettlement',
        args: [contracts.attributionSettlement],
      }),
    )
  for (const [registry, current] of [
    [datanets, datanetOperator],
    [models, modelOperator],
  ] as const)
    if (!isAddressEqual(current, operator))
      call(
        registry.address,
        encodeFunctionData({
          abi: datanetRegistryAbi,
          functionName: 'setOperator',
          args: [operator],
        }),
      )
  if (!staker.allowed)
    call(
      settlement.address,
      encodeFunctionData({ ...settlement, functionName: 'setSubmitter', args: [submitter, true] }),
    )
  const missing = staker.unbondableAt === 0 && staker.bond < bond ? bond - staker.bond : 0n
  const affordable = missing === 0n || missing < funds // equality leaves nothing for gas
  if (missing > 0n && affordable)
    call(
      settlement.address,
      encodeFunctionData({ ...settlement, functionName: 'bond', args: [submitter] }),
      missing,
    )
  if (governance && ![proposed, governing].some((known) => isAddressEqual(known, governance)))
    call(
      parameters.address,
      encodeFunctionData({
        ...parameters,
        functionName: 'proposeGovernance',
        args: [governance],
      }),
    )
  await send(calls)
  if (!affordable)
    throw new DeploymentError(
      `all is deployed but the submitter's bond: it lacks ${formatEther(missing)} OPEN and the deployer has ` +
        `${formatEther(funds)}; fund the deployer and run again`,
    )
}
