import { encodeFunctionData, parseEther } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { deposit, sendTransaction, type WalletOptions } from '#client/wallet.ts'
import { buildReceipts } from '#edge/testing/build-receipts.ts'
import { madeReceipts } from '#edge/testing/made-receipts.ts'
import { keccak, toHex, type Hex } from '#protocol/bytes.ts'
import { buildEpoch, type EpochFile } from '#protocol/epoch.ts'
import { epochRoots } from '#protocol/ledgers.ts'
import { defaultParameters, paramsHash } from '#protocol/parameters.ts'
import { DEV } from '#stack/accounts.ts'
import { CHAIN_ID } from '#stack/chain.ts'
import { deployContracts } from '../../../contracts/script/deploy.ts'
import { figure, type Figure } from '../report.ts'
import type { Claimable } from './claims.ts'

const PAYERS = 20
const COMMITMENT_BYTES = 640 // about what an EigenDA V2 certificate takes
const GOAL_GAS = 100
const HEAP_MB = 64
const GAS_LIMIT = 16_000_000n // more than any epoch here takes, so that no estimate is in the way

/** Gas of epochs of growing size, per receipt; and the last two of them, to be claimed against. */
export async function benchEpochs(
  wallet: WalletOptions,
  sizes: readonly number[],
): Promise<{ figures: Figure[]; claimable: Claimable }> {
  const values = { ...defaultParameters(), 'settlement.window': 1n }
  const contracts = await deployContracts({
    rpcUrl: wallet.rpcUrl,
    chainId: CHAIN_ID,
    deployerKey: toHex(DEV.governance.getHdKey().privateKey ?? new Uint8Array()),
    operator: DEV.governance.address,
    submitter: DEV.governance.address,
    parameters: values,
    quickParameters: true,
    handOver: false,
  })
  const { attributionSettlement: settlement, inferenceVault } = contracts
  const payers = Array.from({ length: PAYERS }, (_, i) => keccak(`payer ${i}`).slice(0, 42) as Hex)
  await sendTransaction(wallet, {
    to: settlement,
    value: parseEther('10'), // the totals of all epochs that are pending at once, and more
    data: encodeFunctionData({
      abi: attributionSettlementAbi,
      functionName: 'bond',
      args: [DEV.governance.address],
    }),
  })
  for (const payer of payers)
    await deposit(wallet, { vault: inferenceVault, beneficiary: payer, amount: parseEther('10') })

  const figures: Figure[] = []
  const files: EpochFile[] = []
  let previous = new Map<Hex, bigint>()
  // The first epoch also writes what every later one only changes, so the smallest goes twice.
  for (const [i, size] of [sizes[0] ?? 1, ...sizes].entries()) {
    const file = buildEpoch(previous, {
      chainId: CHAIN_ID,
      settlement,
      epoch: i + 1,
      treasuries: { platform: contracts.openTimelock, stakers: contracts.validatorStaking },
      receipts: madeReceipts(size, payers, paramsHash(values)),
      presence: [
        {
          root: keccak('version'),
          clusters: [{ contributor: keccak('contributor 0').slice(0, 42) as Hex, count: 1 }],
        },
      ],
    })
    const { gasUsed } = await submit(wallet, settlement, file, paramsHash(values))
    previous = new Map(file.payouts.map(({ account, amount }) => [account, amount]))
    files.push(file)
    if (i === 0) continue
    const it = figure(
      { name: `gas per receipt, ${size} receipts, ${PAYERS} payers`, unit: 'gas', better: 'lower' },
      Number(gasUsed) / size,
    )
    figures.push(size === 10_000 ? { ...it, goal: GOAL_GAS } : it)
  }
  await new Promise((resolve) => setTimeout(resolve, 2_500)) // until all are active
  const [first, second] = [files[0], files[1]]
  if (!first || !second) throw new Error('two epochs are needed')
  return { figures, claimable: { settlement, first, second, index: 5 } }
}

/**
 * What it takes to build an epoch by the batcher's own code, in a Node process whose heap is limited to what a Worker has left
 * beside its buffers.
 */
export async function benchBuild({ quick }: { quick: boolean }): Promise<Figure[]> {
  const receipts = quick ? 1_000 : 10_000
  const size = { receipts, accounts: 0 }
  const { seconds, peakBytes, publishedBytes, jsonBytes } = await buildReceipts(size, HEAP_MB)
  const of = `an epoch of ${receipts} receipts`
  return [
    figure({ name: `build ${of}`, unit: 's', better: 'lower' }, seconds),
    figure({ name: `memory to build ${of}`, unit: 'MB', better: 'lower' }, peakBytes / 1e6, {
      value: 128,
      name: 'a Worker',
    }),
    figure(
      { name: `published per receipt of ${of}`, unit: 'bytes', better: 'lower' },
      publishedBytes / receipts,
      { value: jsonBytes / receipts, name: 'its JSON' },
    ),
  ]
}

const submit = (wallet: WalletOptions, settlement: Hex, file: EpochFile, params: Hex) =>
  sendTransaction(wallet, {
    to: settlement,
    gas: GAS_LIMIT,
    data: encodeFunctionData({
      abi: attributionSettlementAbi,
      functionName: 'submitEpoch',
      args: [
        {
          ...epochRoots(file),
          epoch: BigInt(file.epoch),
          dataHash: keccak(`epoch ${file.epoch}`),
          paramsHash: params,
          commitment: toHex(new Uint8Array(COMMITMENT_BYTES).fill(0xab)),
        },
        file.draws,
      ],
    }),
  })
