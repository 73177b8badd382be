import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount, type PrivateKeyAccount } from 'viem/accounts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import { putData } from '#edge/settlement/da.ts'
import { keccak, lowerCase, type Hex } from '#protocol/bytes.ts'
import { buildEpoch, type EpochFile, type Presence } from '#protocol/epoch.ts'
import { epochRoots, payoutsTree } from '#protocol/ledgers.ts'
import { defaultParameters, paramsHash } from '#protocol/parameters.ts'
import { clustersOf, lastTime, poolTime } from '#protocol/presence.ts'
import type { ReceiptDomain, SignedReceipt } from '#protocol/receipt.ts'
import {
  countAt,
  emptyRevocations,
  extendRevocations,
  headOf,
  revocationHead,
  revocationOf,
  withdrawalTypedData,
  type RecordKey,
} from '#protocol/revocations.ts'
import { encodeEpoch, encodeManifest, type Segment, type SegmentKind } from '#protocol/segments.ts'
import type { KeptTexts } from '#protocol/generation.ts'
import { startDaServer } from '#stack/da-server.ts'
import { CHAIN_ID, devAccount, startAnvil } from '../../contracts/test/anvil.ts'
import { deployContracts, type Contracts } from '../../contracts/script/deploy.ts'
import { openledger, valueOf } from './command.ts'
import { publish, register, type Transaction } from './published.ts'
import { callAdapter, syntheticAdapter, type Call } from './synthetic.ts'
import { scratchFolder } from './scratch.ts'

/**
 * The real contracts and data-availability server, with a submitter and a worker that do what a test tells them, and the
 * real `openledger watch` against them. What the edge publishes is served as it would.
 */
export type Settlement = Awaited<ReturnType<typeof startSettlement>>

export const PRICE = 10n ** 13n
export const WINDOW_SECONDS = 7_200n
export const ANSWER_SECONDS = 600n
const [governor, submitter, modelOwner, payer] = [0, 1, 2, 3].map(devAccount) as Dev[]
type Dev = ReturnType<typeof devAccount>
const contributors = [1, 2, 3, 4].map((n) => privateKeyToAccount(keccak(`contributor ${n}`)))
export const CONTRIBUTORS = contributors.map(({ address }) => lowerCase(address))
const BASE = keccak('base')
const SEGMENT_BYTES = 8_000 // one receipt
const API_KEY = `ol_live_${'v'.repeat(32)}`

export type Watched = {
  status: number
  reports: {
    epoch: number
    source: string | null
    findings: { name: string; remedy: string; detail: string }[]
  }[]
  outcomes: {
    epoch: number
    action: string
    status: string
    transaction: Hex | null
    reward: string
    detail: string
  }[]
}

const manifestOfEpoch = (file: EpochFile, segments: Segment[]): Uint8Array =>
  encodeManifest({ ...file, segments })

export async function startSettlement() {
  const dir = scratchFolder()
  const chain = await startAnvil()
  const { client } = chain
  const parameters = {
    'settlement.window': WINDOW_SECONDS,
    'challenge.answerTime': ANSWER_SECONDS,
  }
  const values = { ...defaultParameters(), ...parameters }
  const contracts = await deployContracts({
    rpcUrl: chain.rpcUrl,
    chainId: CHAIN_ID,
    deployerKey: governor!.key,
    operator: governor!.address,
    submitter: submitter!.address,
    parameters,
    handOver: false,
  })
  const domain: ReceiptDomain = { chainId: CHAIN_ID, settlement: contracts.attributionSettlement }
  const da = await startDaServer(join(dir, 'da'), 0)
  const daUrl = `http://127.0.0.1:${(da.address() as AddressInfo).port}`
  const worker = privateKeyToAccount(generatePrivateKey())
  const adapter = syntheticAdapter(7, {
    base: BASE,
    owner: modelOwner!.address,
    contributors: CONTRIBUTORS,
  })
  const texts = new Map<Hex, KeptTexts>()
  const revocations = emptyRevocations()
  const published = await publish(adapter, { texts, revocations, apiKey: API_KEY })
  const contractsFile = join(dir, 'contracts.json')
  writeFileSync(contractsFile, JSON.stringify({ chainId: CHAIN_ID, contracts }))

  /** Sends a transaction; throws the decoded reason of a revert. */
  async function write(
    from: PrivateKeyAccount | Dev['account'],
    [address, abi, functionName, args, value = 0n]: Transaction,
  ) {
    const { request } = await client.simulateContract({
      account: from,
      address,
      abi,
      functionName,
      args,
      value,
    })
    return client.waitForTransactionReceipt({ hash: await client.writeContract(request) })
  }
  await register(contracts, adapter, {
    contributor: CONTRIBUTORS[0]!,
    pricePerToken: PRICE,
    write: (...call) => write(governor!.account, call),
  })
  await write(payer!.account, [
    contracts.inferenceVault,
    inferenceVaultAbi,
    'deposit',
    [payer!.address],
    parseEther('10'),
  ])
  /** Puts wei at stake for an account. */
  const stake = (who: Hex, wei: bigint) =>
    write(governor!.account, [contracts.validatorStaking, validatorStakingAbi, 'stake', [who], wei])
  await stake(worker.address, values['staking.minimum'])

  /** The base pool's clusters for an epoch whose last receipt is of a time. */
  const presenceAt = (time: bigint): Presence => {
    const entries = countAt(revocations, poolTime(time))
    const isRevoked = (key: RecordKey) => revocationOf(revocations, key, entries) !== undefined
    return { root: adapter.datanet.root, clusters: clustersOf(adapter.leaves, isRevoked) }
  }

  let seed = 0
  const epochs = new Map<number, EpochFile>()
  const now = async () => (await client.getBlock()).timestamp

  return {
    chain,
    contracts,
    domain,
    values,
    adapter,
    worker,
    submitter: submitter!,
    payer: payer!,
    epochs,
    texts,
    write,
    dir,
    daUrl,

    /** A receipt of the worker's, which `lie` makes one. */
    async call(
      lie: Partial<Pick<Call, 'tamper' | 'tamperScores' | 'worker'>> = {},
    ): Promise<SignedReceipt> {
      const made = await callAdapter(adapter, {
        seed: ++seed,
        payer: payer!.address,
        pricePerToken: PRICE,
        values,
        domain,
        worker,
        time: await now(),
        ...lie,
        tamperScores: (scored) => {
          const paid = scored.filter((row) => !revocationOf(revocations, row, Infinity))
          return lie.tamperScores ? lie.tamperScores(paid) : paid
        },
      })
      texts.set(made.signed.receipt.requestId, made.texts)
      return made.signed
    },

    /** Writes into the edge's log that a contributor took a record back. */
    async logWithdrawal({ record, contributor }: RecordKey): Promise<void> {
      const about = { contribution: 'ctr_1', reason: 'revoked' as const, call: keccak(record) }
      const seq = revocations.entries.length + 1
      const entry = { seq, record, contributor, ...about, time: Number(await now()) }
      extendRevocations(revocations, [
        { ...entry, head: revocationHead(headOf(revocations), entry) },
      ])
    },

    /** Sends what its contributor signs to the chain. */
    async sendWithdrawal({ record, contributor }: RecordKey): Promise<void> {
      const { datanetRegistry } = contracts
      const typed = withdrawalTypedData([record], { chainId: CHAIN_ID, datanetRegistry })
      const signature = await contributors[CONTRIBUTORS.indexOf(contributor)]!.signTypedData(typed)
      await write(governor!.account, [
        datanetRegistry,
        datanetRegistryAbi,
        'withdraw',
        [contributor, [record], signature],
      ])
    },

    /** Settles receipts as the next epoch; `tamper` makes it a lie, `keep` says what of it is put to DA. */
    async submit(
      receipts: SignedReceipt[],
      {
        tamper = (it: EpochFile) => it,
        keep = () => true,
        manifestOf = manifestOfEpoch,
      }: {
        tamper?: (file: EpochFile) => EpochFile
        keep?: (what: SegmentKind | 'manifest') => boolean
        manifestOf?: typeof manifestOfEpoch
      } = {},
    ): Promise<EpochFile> {
      const last = Number(
        await client.readContract({
          address: contracts.attributionSettlement,
          abi: attributionSettlementAbi,
          functionName: 'lastEpoch',
        }),
      )
      const before = epochs.get(last)?.payouts ?? []
      const file = tamper(
        buildEpoch(new Map(before.map(({ account: to, amount }) => [to, amount])), {
          ...domain,
          epoch: last + 1,
          treasuries: { platform: contracts.openTimelock, stakers: contracts.validatorStaking },
          receipts,
          presence: [presenceAt(lastTime({ receipts }))],
        }),
      )
      const put = (what: SegmentKind | 'manifest', bytes: Uint8Array): Promise<Hex> | Hex =>
        keep(what) ? putData([daUrl], bytes) : `0x01${keccak(bytes).slice(2)}00`
      const segments: Segment[] = []
      for await (const { bytes, ...segment } of encodeEpoch(file, SEGMENT_BYTES))
        segments.push({ ...segment, commitment: await put(segment.kind, bytes) })
      const manifest = manifestOf(file, segments)
      const roots = { ...epochRoots(file), dataHash: keccak(manifest) }
      const commitment = await put('manifest', manifest)
      await write(submitter!.account, [
        contracts.attributionSettlement,
        attributionSettlementAbi,
        'submitEpoch',
        [
          { epoch: BigInt(file.epoch), ...roots, commitment, paramsHash: paramsHash(values) },
          file.draws,
        ],
      ])
      epochs.set(file.epoch, file)
      return file
    },

    /** Gives a disabled epoch's draws back, so that its number can be submitted again. */
    async refund(epoch: number): Promise<void> {
      await write(governor!.account, [
        contracts.attributionSettlement,
        attributionSettlementAbi,
        'refund',
        [BigInt(epoch), epochs.get(epoch)!.draws],
      ])
      epochs.delete(epoch)
    },

    /** Runs `openledger watch --once` with a wallet of its own. */
    async watch(key: Hex, ...args: string[]): Promise<Watched> {
      const said = await openledger(
        [
          'watch',
          '--once',
          '--json',
          `--rpc=${chain.rpcUrl}`,
          `--da=${daUrl}`,
          `--edge=${published.url}`,
          `--contracts=${contractsFile}`,
          `--state=${join(dir, 'watch.sqlite')}`,
          '--sample=1',
          ...args,
        ],
        { OPENLEDGER_WALLET_KEY: key, OPENLEDGER_API_KEY: API_KEY },
      )
      return { status: said.status, ...valueOf<Omit<Watched, 'status'>>(said) }
    },

    statusOf: async (epoch: number): Promise<number> =>
      Number(
        await client.readContract({
          address: contracts.attributionSettlement,
          abi: attributionSettlementAbi,
          functionName: 'statusOf',
          args: [BigInt(epoch)],
        }),
      ),

    async passTime(seconds: bigint): Promise<void> {
      await client.increaseTime({ seconds: Number(seconds) + 1 })
      await client.mine({ blocks: 1 })
    },

    /** Wei that the submitter has at stake. */
    bond: async (): Promise<bigint> => {
      const { bond } = await client.readContract({
        address: contracts.attributionSettlement,
        abi: attributionSettlementAbi,
        functionName: 'submitterOf',
        args: [submitter!.address],
      })
      return bond
    },

    /** Puts what the submitter lost at stake again. */
    async bondAgain(): Promise<void> {
      await write(submitter!.account, [
        contracts.attributionSettlement,
        attributionSettlementAbi,
        'bond',
        [submitter!.address],
        values['settlement.bond'],
      ])
    },

    stake,

    stakeOf: async (who: Hex): Promise<bigint> => {
      const { stake } = await client.readContract({
        address: contracts.validatorStaking,
        abi: validatorStakingAbi,
        functionName: 'validatorOf',
        args: [who],
      })
      return stake
    },

    /** Claims for an account against an epoch; answers the wei that came. */
    async claim(epoch: number, to: Hex): Promise<bigint> {
      const file = epochs.get(epoch)!
      const index = file.payouts.findIndex((payout) => payout.account === to)
      const { amount } = file.payouts[index]!
      const before = await client.getBalance({ address: to })
      await write(governor!.account, claimCall(contracts, file, { to, amount, index }))
      return (await client.getBalance({ address: to })) - before
    },

    async stop(): Promise<void> {
      published.server.closeAllConnections()
      published.server.close()
      da.close()
      chain.stop()
    },
  }
}

const claimCall = (
  { attributionSettlement }: Contracts,
  file: EpochFile,
  { to, amount, index }: { to: Hex; amount: bigint; index: number },
): Transaction => [
  attributionSettlement,
  attributionSettlementAbi,
  'claim',
  [to, amount, BigInt(file.epoch), BigInt(index), payoutsTree(file).proof(index)],
]
