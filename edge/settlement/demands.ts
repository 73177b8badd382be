import { encodeFunctionData, type Abi } from 'viem'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import type { Hex } from '#protocol/bytes.ts'
import { answerDemand, DEMANDS, type Demanded } from '#protocol/challenge.ts'
import type { EpochFile } from '#protocol/epoch.ts'
import type { InfluenceRow } from '#protocol/influence-row.ts'
import type { Receipt } from '#protocol/receipt.ts'
import { adapterManifest, indexRowsFile } from '#protocol/wire.ts'
import { getJson } from '../blobs/store.ts'
import { chainClient } from '../chain/client.ts'
import { enqueueTransaction } from '../chain/enqueue.ts'
import { adapterOnChain } from '../chain/models.ts'
import { readLogs } from '../chain/ranges.ts'
import { log } from '../log.ts'
import { openAt, type Settlement } from './build-epoch.ts'
import type { EpochRow } from './epoch-tables.ts'

/**
 * Reveal or lose (IEpochChallenges.sol): what is demanded of our pending epochs is shown, however small the demand, because an
 * epoch that leaves one unanswered is disabled and costs the bond.
 */

/** Demands whose receipts are in memory together: nobody makes a Worker run out of it with many small demands. */
const MOST_AT_ONCE = 100

/**
 * Answers demands made from a block on; returns where to look next. Idempotent: an answer is one transaction by its
 * demand's id, and the chain takes only one.
 */
export async function answerDemands(
  settlement: Settlement,
  fromBlock: bigint | null,
): Promise<bigint | null> {
  const { settings, store } = settlement
  const pending = [...store.inState('settled'), ...store.inState('safe')]
  const oldest = Math.min(...pending.map(({ block_number }) => block_number ?? Infinity))
  if (oldest === Infinity) return null // nothing of ours can be demanded
  const client = chainClient(settings)
  const latest = await client.getBlockNumber()
  const demands = await readLogs(
    { fromBlock: fromBlock ?? BigInt(oldest), toBlock: latest },
    (range) =>
      client.getContractEvents({
        address: settings.CONTRACTS.epochChallenges,
        abi: epochChallengesAbi,
        eventName: 'Demanded',
        strict: true,
        ...range,
      }),
  )
  const open: Open[] = []
  for (const { args } of demands) open.push(...(await openDemand(settlement, args.id)))
  let failure: { error: unknown } | undefined
  const failed = (error: unknown) => void (failure ??= { error })
  for (const ofEpoch of Map.groupBy(open, ({ row }) => row.epoch).values())
    for (let i = 0; i < ofEpoch.length; i += MOST_AT_ONCE)
      await answerAll(settlement, ofEpoch.slice(i, i + MOST_AT_ONCE), failed).catch(failed)
  // Only when all others are answered: then it is tried again.
  if (failure) throw failure.error
  // A reorg may bring a demand into a block that was looked at.
  const { number: final } = await client.getBlock({ blockTag: 'finalized' })
  return final < latest ? final + 1n : latest + 1n
}

/** A demand that waits for its answer, and the epoch that it is made of. */
type Open = Demanded & { id: Hex; row: EpochRow }

/** A demand if it is ours to answer: none when it is answered, or of an epoch that was somebody else's or is rebuilt. */
async function openDemand({ settings, store }: Settlement, id: Hex): Promise<Open[]> {
  const { epoch, dataHash, kind, index, position } = await chainClient(settings).readContract({
    address: settings.CONTRACTS.epochChallenges,
    abi: epochChallengesAbi,
    functionName: 'demandOf',
    args: [id],
  })
  const row = store.epoch(Number(epoch))
  const named = DEMANDS[kind]
  if (!named || row?.data_hash !== dataHash || row.state === 'final') return []
  return [{ id, row, kind: named, index, position }]
}

/** Answers demands of one epoch, whose receipts are gone through once for all of them. */
async function answerAll(
  settlement: Settlement,
  demands: readonly Open[],
  failed: (error: unknown) => void,
): Promise<void> {
  const [first] = demands
  if (!first) return
  const indices = new Set(demands.map(({ index }) => index))
  const file = await openAt(settlement, first.row, indices)
  for (const one of demands) await answer(settlement, file, one).catch(failed)
}

async function answer(
  { env, settings }: Settlement,
  file: EpochFile,
  { id, row, ...demanded }: Open,
): Promise<void> {
  const { kind, index, position } = demanded
  const receipt = kind === 'indexRow' ? file.receipts[index]?.receipt : undefined
  // Beyond the receipt's rows there is none to be shown.
  const rows = receipt?.rows[position] ? await indexRows({ env, settings }, receipt) : []
  const { functionName, args } = answerDemand(id, demanded, { file, rows })
  log('warn', { during: 'settlement', epoch: row.epoch, demanded: kind, index, position })
  await enqueueTransaction(
    { env, settings },
    {
      key: `answer:${row.epoch}:${id}`,
      to: settings.CONTRACTS.epochChallenges,
      data: encodeFunctionData({ abi: epochChallengesAbi as Abi, functionName, args }),
      value: 0n,
    },
  )
}

/** Rows of the index that a receipt's adapter was registered with. */
async function indexRows(
  { env, settings }: Pick<Settlement, 'env' | 'settings'>,
  { requestId, adapter: digest }: Receipt,
): Promise<InfluenceRow[]> {
  const adapter = await adapterOnChain(settings, digest)
  if (!adapter) throw new Error(`request ${requestId} names an adapter that is not registered`)
  const manifest = await getJson(env, adapter.manifestHash, adapterManifest)
  const file = manifest?.files['index/rows.json']
  const index = file && (await getJson(env, file.sha256, indexRowsFile))
  if (!index) throw new Error(`the index of adapter ${digest} is not in the store`)
  return index.rows
}
