/** What the chain says, as a validator needs it: epochs, models with the prices they ever had, every set of governed numbers. */
import type { PublicClient } from 'viem'
import { readLogsFrom } from '#edge/chain/ranges.ts'
import { unlessUnknown } from '#edge/chain/revert.ts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import { lowerCase, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import {
  parameterKey,
  PARAMETER_NAMES,
  parametersOf,
  paramsHash,
  type ParameterName,
  type ParameterValues,
} from '#protocol/parameters.ts'
import type { EpochFile, Treasuries } from '#protocol/epoch.ts'
import { receiptLeaf } from '#protocol/ledgers.ts'
import { verifyOrdered } from '#protocol/merkle.ts'
import type { Receipt, SignedReceipt } from '#protocol/receipt.ts'
import { recordKey } from '#protocol/revocations.ts'
import { check, type Check } from './checks.ts'

export type ChainAddresses = {
  parameters: Hex
  datanetRegistry: Hex
  modelRegistry: Hex
  inferenceVault: Hex
  attributionSettlement: Hex
  validatorStaking: Hex
}

/** An epoch as it was submitted. */
export type Submission = {
  epoch: number
  submitter: Hex
  receiptsRoot: Hex
  creditsRoot: Hex
  payoutsRoot: Hex
  receipts: number
  credits: number
  payouts: number
  total: bigint
  dataHash: Hex
  commitment: Hex
  paramsHash: Hex
  /** Unix seconds. */
  submittedAt: number
  /** Unix seconds from which it can be claimed against and no longer challenged. */
  activeAt: number
  /** Where it was submitted. */
  block: bigint
  transaction: Hex
}

export const STATUS = ['none', 'pending', 'active', 'disabled'] as const
export type Status = (typeof STATUS)[number]

/** A base or adapter: terms, lineage (empty for a base), and every price with the time it was in force. */
export type ModelFacts = {
  owner: Hex
  base: Hex
  indexRoot: Hex
  manifestHash: Hex
  datanetRoots: Hex[]
  prices: { wei: bigint; from: bigint; until: bigint }[]
}

export type ChainFacts = ReturnType<typeof openChainFacts>

const FOREVER = 2n ** 64n

/** Reads the chain; block times and sets of governed numbers are kept, because what is past does not change. */
export function openChainFacts(chain: PublicClient, contracts: ChainAddresses) {
  const settlement = {
    address: contracts.attributionSettlement,
    abi: attributionSettlementAbi,
  } as const
  const registry = { address: contracts.modelRegistry, abi: modelRegistryAbi } as const
  const times = new Map<bigint, Promise<bigint>>()
  const known = new Map<Hex, ParameterValues>()
  const timeOf = (blockNumber: bigint): Promise<bigint> => {
    const time =
      times.get(blockNumber) ?? chain.getBlock({ blockNumber }).then(({ timestamp }) => timestamp)
    times.set(blockNumber, time)
    time.catch(() => times.delete(blockNumber)) // a node that is away is asked again
    return time
  }

  /** Of blocks before `revokedFrom`, which are final. */
  const revoked = new Map<string, bigint>()
  let revokedFrom = 0n

  const epochOf = (epoch: number) =>
    chain.readContract({ ...settlement, functionName: 'epochs', args: [BigInt(epoch)] })

  /** Every price a model ever had. */
  const pricesOf = async (digest: Hex, current: bigint): Promise<ModelFacts['prices']> => {
    const changes = await readLogsFrom(chain, 0n, (range) =>
      chain.getContractEvents({
        ...registry,
        eventName: 'PriceSet',
        args: { digest },
        strict: true,
        ...range,
      }),
    )
    let from = 0n
    const prices: ModelFacts['prices'] = []
    for (const { args, blockNumber } of changes) {
      const until = await timeOf(blockNumber)
      prices.push({ wei: args.previous, from, until })
      from = until
    }
    return [...prices, { wei: current, from, until: FOREVER }]
  }

  return {
    chain,
    contracts,

    /**
     * Epochs that were submitted in a block from `fromBlock` on and stand on chain now, in their order: of a number that
     * was disabled and submitted again, the last. Nothing that comes later stands before block `final`.
     */
    submissions: async (fromBlock = 0n): Promise<{ submissions: Submission[]; final: bigint }> => {
      const { number: final } = await chain.getBlock({ blockTag: 'finalized' })
      const from = fromBlock > final + 1n ? 0n : fromBlock // a chain that was set up anew
      const events = await readLogsFrom(chain, from, (range) =>
        chain.getContractEvents({
          ...settlement,
          eventName: 'EpochSubmitted',
          strict: true,
          ...range,
        }),
      )
      const last = new Map(events.map((event) => [Number(event.args.epoch), event]))
      const submissions: Submission[] = []
      for (const [epoch, { args, blockNumber, transactionHash }] of last) {
        const record = await epochOf(epoch)
        if (record.dataHash !== args.dataHash) continue // disabled and refunded, or another chain by now
        submissions.push({
          ...record,
          epoch,
          submitter: lowerCase(record.submitter),
          submittedAt: record.activeAt - record.window,
          commitment: args.commitment,
          block: blockNumber,
          transaction: transactionHash,
        })
      }
      return { submissions: submissions.toSorted((a, b) => a.epoch - b.epoch), final }
    },

    /** What an epoch drew from whom, in the order in which it did. */
    draws: async ({ epoch, block, transaction }: Submission): Promise<EpochFile['draws']> => {
      const events = await chain.getContractEvents({
        address: contracts.inferenceVault,
        abi: inferenceVaultAbi,
        eventName: 'Drawn',
        args: { epoch: BigInt(epoch) },
        fromBlock: block,
        toBlock: block,
        strict: true,
      })
      return events
        .filter(({ transactionHash }) => transactionHash === transaction)
        .map(({ args }) => ({ payer: lowerCase(args.payer), amount: args.amount }))
    },

    /** Who gets the parts of a fee that are neither the model's nor the contributors'. */
    treasuries: async (): Promise<Treasuries> => {
      const [platform, stakers] = await Promise.all([
        chain.readContract({ ...settlement, functionName: 'TREASURY' }),
        chain.readContract({ ...settlement, functionName: 'STAKING' }),
      ])
      return { platform: lowerCase(platform), stakers: lowerCase(stakers) }
    },

    /** Whether a receipt is in the epoch where it is said to be. */
    provenIn: async (
      { receipt }: SignedReceipt,
      { epoch, index, spent, proof }: { epoch: number; index: number; spent: bigint; proof: Hex[] },
    ): Promise<Check> => {
      const { receiptsRoot, receipts: count } = await epochOf(epoch)
      const domain = { chainId: await chain.getChainId(), settlement: settlement.address }
      const leaf = receiptLeaf(receipt, spent, domain)
      const holds = verifyOrdered(receiptsRoot, leaf, { index, count, proof })
      return check(
        'proof',
        holds,
        `receipt ${index} of ${count} in epoch ${epoch}, root ${receiptsRoot}`,
      )
    },

    /** When (Unix seconds) which records were revoked on chain, by `recordKey`. */
    revoked: async (): Promise<ReadonlyMap<string, bigint>> => {
      const { number: final } = await chain.getBlock({ blockTag: 'finalized' })
      const events = await readLogsFrom(chain, revokedFrom, (range) =>
        chain.getContractEvents({
          address: contracts.datanetRegistry,
          abi: datanetRegistryAbi,
          eventName: 'RecordsRevoked',
          strict: true,
          ...range,
        }),
      )
      const all = new Map(revoked)
      for (const { args, blockNumber } of events) {
        const time = await timeOf(blockNumber)
        for (const record of args.records) {
          const key = recordKey({ record, contributor: lowerCase(args.contributor) })
          if (all.has(key)) continue // the first time counts
          all.set(key, time)
          if (blockNumber <= final) revoked.set(key, time)
        }
      }
      if (final >= revokedFrom) revokedFrom = final + 1n
      return all
    },

    /** Wei that an account had at stake at a time (Unix seconds). */
    stakeAt: (account: Hex, time: bigint): Promise<bigint> =>
      chain.readContract({
        address: contracts.validatorStaking,
        abi: validatorStakingAbi,
        functionName: 'stakeAt',
        args: [account, Number(BigInt.asUintN(48, time))],
      }),

    statusOf: async (epoch: number): Promise<Status> =>
      STATUS[
        await chain.readContract({ ...settlement, functionName: 'statusOf', args: [BigInt(epoch)] })
      ] ?? 'none',

    /** The governed numbers under a hash, in force now or earlier; null when they never were. */
    parameters: async (hash: Hex): Promise<ParameterValues | null> => {
      const values = known.get(hash) ?? (await findParameters(chain, contracts.parameters, hash))
      if (values) known.set(hash, values)
      return values
    },

    /** The model that a receipt names; null when it is not registered. */
    model: ({ base, adapter }: Pick<Receipt, 'base' | 'adapter'>): Promise<ModelFacts | null> =>
      unlessUnknown(async () => {
        if (adapter === ZERO_HASH) {
          const found = await chain.readContract({
            ...registry,
            functionName: 'baseOf',
            args: [base],
          })
          return {
            owner: lowerCase(found.owner),
            base: ZERO_HASH,
            indexRoot: ZERO_HASH,
            manifestHash: found.manifestHash,
            datanetRoots: [],
            prices: await pricesOf(base, found.pricePerToken),
          }
        }
        const found = await chain.readContract({
          ...registry,
          functionName: 'adapterOf',
          args: [adapter],
        })
        return {
          owner: lowerCase(found.owner),
          base: found.base,
          indexRoot: found.indexRoot,
          manifestHash: found.manifestHash,
          datanetRoots: [...found.datanetRoots],
          prices: await pricesOf(adapter, found.pricePerToken),
        }
      }),
  }
}

/** Walks back from the numbers in force, undoing one change after the other. */
async function findParameters(
  chain: PublicClient,
  address: Hex,
  hash: Hex,
): Promise<ParameterValues | null> {
  const contract = { address, abi: parametersAbi } as const
  const values = await readParameters(chain, address)
  if (paramsHash(values) === hash) return values
  const changes = await readLogsFrom(chain, 0n, (range) =>
    chain.getContractEvents({ ...contract, eventName: 'ParameterSet', strict: true, ...range }),
  )
  const nameOf = new Map<Hex, ParameterName>(
    PARAMETER_NAMES.map((name) => [parameterKey(name), name]),
  )
  for (const { args } of changes.toReversed()) {
    const name = nameOf.get(args.key)
    if (name === undefined) return null // a parameter that this build does not know
    values[name] = args.previous
    if (paramsHash(values) === hash) return values
  }
  return null
}

/** The governed numbers in force. Throws when the contract governs others than this build knows. */
export const readParameters = async (chain: PublicClient, address: Hex): Promise<ParameterValues> =>
  parametersOf(await chain.readContract({ address, abi: parametersAbi, functionName: 'all' }))
