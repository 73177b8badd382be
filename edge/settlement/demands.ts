import { encodeFunctionData, type Abi } from 'viem'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import type { Hex } from '#protocol/bytes.ts'
import { answerDemand, DEMANDS } from '#protocol/challenge.ts'
import type { InfluenceRow } from '#protocol/influence-row.ts'
import type { Receipt } from '#protocol/receipt.ts'
import { adapterManifest, indexRowsFile } from '#protocol/wire.ts'
import { getBlob } from '../blobs/store.ts'
import { chainClient } from '../chain/client.ts'
import { enqueueTransaction } from '../chain/enqueue.ts'
import { adapterOnChain } from '../chain/models.ts'
import { readLogs } from '../chain/ranges.ts'
import { log } from '../log.ts'
import { openAt, type Settlement } from './build-epoch.ts'

/**
 * Reveal or lose (IEpochChallenges.sol): what is demanded of our pending epochs is shown, however small the demand, because an
 * epoch that leaves one unanswered is disabled and costs the bond.
 */

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
  let failure: { error: unknown } | undefined
  for (const { args } of demands)
    await answer(settlement, args.id).catch((error: unknown) => (failure ??= { error }))
  // Only when all others are answered: then it is tried again.
  if (failure) throw failure.error
  // A reorg may bring a demand into a block that was looked at.
  const { number: final } = await client.getBlock({ blockTag: 'finalized' })
  return final < latest ? final + 1n : latest + 1n
}

async function answer(settlement: Settlement, id: Hex): Promise<void> {
  const { env, settings, store } = settlement
  const { epoch, dataHash, kind, index, position } = await chainClient(settings).readContract({
    address: settings.CONTRACTS.epochChallenges,
    abi: epochChallengesAbi,
    functionName: 'demandOf',
    args: [id],
  })
  const row = store.epoch(Number(epoch))
  const demanded = DEMANDS[kind]
  // Answered, or of an epoch that was somebody else's or has been rebuilt.
  if (!demanded || row?.data_hash !== dataHash) return
  const file = await openAt(settlement, row, index)
  const receipt = demanded === 'indexRow' ? file.receipts[index]?.receipt : undefined
  // Beyond the receipt's rows there is none to be shown.
  const rows = receipt?.rows[position] ? await indexRows({ env, settings }, receipt) : []
  const { functionName, args } = answerDemand(
    id,
    { kind: demanded, index, position },
    { file, rows },
  )
  log('warn', { during: 'settlement', epoch: row.epoch, demanded, index, position })
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
  const manifest = adapterManifest.parse(await jsonBlob(env, adapter.manifestHash))
  return indexRowsFile.parse(await jsonBlob(env, manifest.files['index/rows.json'].sha256)).rows
}

async function jsonBlob(env: Settlement['env'], sha256: Hex): Promise<unknown> {
  const bytes = await getBlob(env, sha256)
  if (!bytes) throw new Error(`file ${sha256} is missing`)
  return JSON.parse(new TextDecoder().decode(bytes))
}
