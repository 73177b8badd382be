import { parseEventLogs, type Abi, type Log } from 'viem'
import { bigintAsDecimal, type Hex } from '#protocol/bytes.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { openGovernorAbi } from '#contracts/open-governor.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { votingOpenAbi } from '#contracts/voting-open.ts'
import type { Settings } from '../env.ts'

/** Every contract whose events are indexed, by its name in the deployment. */
export const WATCHED = {
  parameters: parametersAbi,
  datanetRegistry: datanetRegistryAbi,
  modelRegistry: modelRegistryAbi,
  inferenceVault: inferenceVaultAbi,
  attributionSettlement: attributionSettlementAbi,
  openGovernor: openGovernorAbi,
  votingOpen: votingOpenAbi,
} as const satisfies Partial<Record<keyof Settings['CONTRACTS'], Abi>>

export type ContractName = keyof typeof WATCHED

/** A log as the index keeps it: integers as decimal strings, hex in lower case. */
export type ChainLog = {
  block: number
  blockHash: Hex
  logIndex: number
  txHash: Hex
  contract: ContractName
  event: string
  /** The first indexed address: whom it is about. */
  account: Hex | null
  args: Record<string, unknown>
}

/** Addresses whose logs are indexed. */
export const watchedAddresses = ({ CONTRACTS }: Settings): Hex[] =>
  (Object.keys(WATCHED) as ContractName[]).map((name) => CONTRACTS[name])

/** Decodes logs of the watched contracts; those of no known event are left out. */
export function decodeLogs(logs: readonly Log[], { CONTRACTS }: Settings): ChainLog[] {
  return (Object.keys(WATCHED) as ContractName[])
    .flatMap((contract) => {
      const abi: Abi = WATCHED[contract]
      const own = logs.filter(({ address }) => address.toLowerCase() === CONTRACTS[contract])
      return parseEventLogs({ abi, logs: own as Log[] }).map((log) => {
        const { blockNumber, blockHash, logIndex, transactionHash, eventName } = log
        if (blockNumber === null || !blockHash || logIndex === null || !transactionHash)
          throw new Error('a log of no block')
        const args = plain(log.args) as Record<string, unknown>
        return {
          block: Number(blockNumber),
          blockHash,
          logIndex,
          txHash: transactionHash,
          contract,
          event: eventName ?? '',
          account: accountOf(abi, eventName ?? '', args),
          args,
        }
      })
    })
    .toSorted((a, b) => a.block - b.block || a.logIndex - b.logIndex)
}

function accountOf(abi: Abi, event: string, args: Record<string, unknown>): Hex | null {
  const item = abi.find((entry) => entry.type === 'event' && entry.name === event)
  const input =
    item?.type === 'event' && item.inputs.find(({ type, indexed }) => indexed && type === 'address')
  return input && input.name ? ((args[input.name] as Hex | undefined) ?? null) : null
}

/** JSON without bigints and checksummed addresses. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, member: unknown) =>
      typeof member === 'string' && member.startsWith('0x')
        ? member.toLowerCase()
        : bigintAsDecimal(key, member),
    ),
  )
