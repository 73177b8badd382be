import {
  encodeFunctionData,
  formatEther,
  isAddressEqual,
  type Address,
  type PublicClient,
} from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { openTimelockAbi } from '#contracts/open-timelock.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import type { Hex } from '#protocol/bytes.ts'
import { parameterKey } from '#protocol/parameters.ts'
import type { Contracts } from './address-file.ts'
import { ABIS } from './create.ts'
import { DeploymentError, type Call, type Send } from './sender.ts'

/** Who does what; `handOver` gives the governance of everything to the timelock. */
export type Roles = { deployer: Hex; operator: Hex; submitter: Hex; handOver: boolean }

/** An address that a contract names, with the function of the governance that sets it. */
type Role = { contract: keyof Contracts; role: string; setter: string; holder: Hex }

/**
 * Brings every role and the submitter's bond to what is asked for, then hands the governance over. Reads first and
 * sends only what differs, so that a second run sends nothing. Throws DeploymentError when a role would have to
 * change that is no longer the deployer's to change, and, after everything else, when it cannot pay the bond.
 */
export async function wire(
  client: PublicClient,
  send: Send,
  contracts: Contracts,
  { deployer, operator, submitter, handOver }: Roles,
): Promise<void> {
  const parameters = { address: contracts.parameters, abi: parametersAbi } as const
  const settlement = {
    address: contracts.attributionSettlement,
    abi: attributionSettlementAbi,
  } as const
  const roles: Role[] = [
    {
      contract: 'inferenceVault',
      role: 'settlement',
      setter: 'setSettlement',
      holder: contracts.attributionSettlement,
    },
    { contract: 'datanetRegistry', role: 'operator', setter: 'setOperator', holder: operator },
    {
      contract: 'datanetRegistry',
      role: 'curation',
      setter: 'setCuration',
      holder: contracts.curation,
    },
    { contract: 'modelRegistry', role: 'operator', setter: 'setOperator', holder: operator },
    {
      contract: 'votingOpen',
      role: 'staking',
      setter: 'setStaking',
      holder: contracts.validatorStaking,
    },
  ]
  const [governance, staker, bond, funds, ...holders] = await Promise.all([
    client.readContract({ ...parameters, functionName: 'governance' }),
    client.readContract({ ...settlement, functionName: 'submitterOf', args: [submitter] }),
    client.readContract({
      ...parameters,
      functionName: 'get',
      args: [parameterKey('settlement.bond')],
    }),
    client.getBalance({ address: deployer }),
    ...roles.map(({ contract, role }) =>
      client.readContract({
        address: contracts[contract],
        abi: ABIS[contract],
        functionName: role,
      }),
    ),
  ])

  const calls: Call[] = roles
    .filter(({ holder }, i) => !isAddressEqual(holders[i] as Address, holder))
    .map(({ contract, setter, holder }) => ({
      to: contracts[contract],
      data: encodeFunctionData({ abi: ABIS[contract], functionName: setter, args: [holder] }),
    }))
  if (!staker.allowed)
    calls.push({
      to: settlement.address,
      data: encodeFunctionData({
        ...settlement,
        functionName: 'setSubmitter',
        args: [submitter, true],
      }),
    })
  const governs = isAddressEqual(governance, deployer)
  if (calls.length > 0 && !governs)
    throw new DeploymentError(
      `${governance} governs this deployment, not the deployer: operator, submitter and wiring are changed by proposals`,
    )
  const missing = staker.unbondableAt === 0 && staker.bond < bond ? bond - staker.bond : 0n
  const affordable = missing === 0n || missing < funds // equality leaves nothing for gas
  if (missing > 0n && affordable)
    calls.push({
      to: settlement.address,
      data: encodeFunctionData({ ...settlement, functionName: 'bond', args: [submitter] }),
      value: missing,
    })
  await send(calls)
  if (handOver && governs) await handOverTo(contracts, send)
  if (!affordable)
    throw new DeploymentError(
      `all is deployed but the submitter's bond: it lacks ${formatEther(missing)} OPEN and the deployer has ` +
        `${formatEther(funds)}; fund the deployer and run again`,
    )
}

/** The last calls of a deployer that has a say. */
async function handOverTo({ parameters, openTimelock }: Contracts, send: Send): Promise<void> {
  const offer = encodeFunctionData({
    abi: parametersAbi,
    functionName: 'proposeGovernance',
    args: [openTimelock],
  })
  const acceptance = encodeFunctionData({
    abi: openTimelockAbi,
    functionName: 'acceptGovernance',
  })
  await send([{ to: parameters, data: offer }])
  await send([{ to: openTimelock, data: acceptance }]) // refused until the offer is mined
}
