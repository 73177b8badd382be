import assert from 'node:assert/strict'
import OpenAI, { APIError } from 'openai'
import { parseEther } from 'viem'
import { keccak, type Hex } from '#protocol/bytes.ts'
import type { GenerateRequest } from '#protocol/generation.ts'
import type { AdapterManifest } from '#protocol/wire.ts'
import {
  BASE,
  BASE_PRICE,
  baseOwner,
  complete,
  jobEnded,
  makeAdapter,
  postJob,
  prepay,
  publishDatanet,
  registerBase,
  takeLease,
  type PublishedVersion,
} from './adapter.ts'
import { startChain, type Chain } from './chain.ts'
import { registerGpuWorker, startGpuWorker, type GpuWorker, type Terms } from './gpu-worker.ts'
import { startEdge, type Edge } from './harness.ts'
import { signIn, type SignedIn } from './wallet.ts'

/** What every answer of a test with `retrieval` cites, but for its Datanet version. */
export const CITED = {
  cluster: keccak('q'),
  record: keccak('q'),
  contributor: `0x${'77'.repeat(20)}` as Hex,
}

/** A row of a payer's Durable Object: money held for a request, or owed for its receipt. */
export type Hold = { request_id: Hex; kind: string; wei: string }

export type Inference = {
  chain: Chain
  edge: Edge
  /** Owner of the model, and the only contributor of its Datanet. */
  owner: SignedIn
  /** Has 1 OPEN on deposit. */
  payer: SignedIn
  worker: GpuWorker
  datanet: PublishedVersion
  adapter: AdapterManifest
  /** Name of a model on that adapter, at three times the base's price. */
  model: string
  /** Starts another worker that answers alike; the edge does not know it yet. */
  startWorker: () => Promise<GpuWorker>
  /** Announces the worker to the edge: a worker in these tests says nothing by itself. */
  announce: () => Promise<void>
  client: (by?: SignedIn) => OpenAI
  holds: () => Promise<Hold[]>
  holdOf: (requestId: Hex) => Promise<Hold | undefined>
  lastRequest: () => GenerateRequest
  stop: () => Promise<void>
}

/** Starts chain, edge and a stand-in worker, and has one model trained by it. */
export async function startInference(): Promise<Inference> {
  const started: (() => Promise<unknown>)[] = []
  const stop = async () => {
    for (const end of started.splice(0).toReversed()) await end()
  }
  try {
    const chain = await startChain()
    started.push(() => chain.stop())
    await registerBase(chain)
    // Epochs never close here: what is owed stays owed.
    const edge = await startEdge({ ...chain.vars, EPOCH_SECONDS: '3600' })
    started.push(() => edge.harness.close())
    const [owner, payer] = [await signIn(edge), await signIn(edge)]
    await prepay(chain, payer.address, parseEther('1'))
    const datanet = await publishDatanet(edge, owner, [owner])

    let adapter: AdapterManifest | undefined // once it is trained
    const startWorker = async () => {
      const worker = await startGpuWorker(
        { chainId: 901612, settlement: chain.contracts.attributionSettlement },
        (request) => termsOf(request, { owner: owner.address, datanet, adapter }),
      )
      started.push(() => worker.stop())
      return worker
    }
    const worker = await startWorker()
    const workerId = await registerGpuWorker(edge, worker, BASE)
    const job = (await (
      await postJob(edge, owner, {
        datanets: [{ id: datanet.id, version: 1 }],
        suffix: 'law',
        price_per_token: (3n * BASE_PRICE).toString(),
      })
    ).json()) as { id: string }
    const lease = (await takeLease(edge, workerId))!
    adapter = await makeAdapter(edge, lease)
    await complete(edge, lease.leaseId, adapter)
    const model = (await jobEnded(edge, owner, job.id)).fine_tuned_model!

    const holds = async () =>
      (await (
        await edge.worker.getDurableObjectStorage('ACCOUNT', { name: payer.accountId })
      ).exec('SELECT request_id, kind, wei FROM holds')) as Hold[]
    return {
      chain,
      edge,
      owner,
      payer,
      worker,
      datanet,
      adapter,
      model,
      startWorker,
      holds,
      stop,
      announce: async () => void (await registerGpuWorker(edge, worker, BASE)),
      client: (by = payer) =>
        new OpenAI({
          baseURL: 'http://edge.test/v1',
          fetch: (url, init) => edge.fetch(String(url), init),
          apiKey: by.key,
          maxRetries: 0,
        }),
      holdOf: async (requestId) => (await holds()).find((hold) => hold.request_id === requestId),
      lastRequest: () => worker.requests.at(-1)!,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

type Parties = { owner: Hex; datanet: PublishedVersion; adapter: AdapterManifest | undefined }
/** What a receipt of these tests says of money: the base alone, or the one adapter with its one contributor. */
function termsOf(request: GenerateRequest, { owner, datanet, adapter }: Parties): Terms {
  if (!request.adapter || !adapter) return { modelOwner: baseOwner, pricePerToken: BASE_PRICE }
  const { digest, indexRoot } = adapter
  const [quoted] = request.retrieval?.versions ?? []
  return {
    ...(quoted && { citations: [{ ...CITED, datanet: quoted.root }] }),
    modelOwner: owner,
    pricePerToken: 3n * BASE_PRICE,
    adapter: {
      digest,
      indexRoot,
      datanets: [datanet.root],
      paid: [{ cluster: keccak('c'), record: keccak('r'), contributor: owner }],
    },
  }
}

/** The error that the OpenAI client makes of a refusal. */
export async function refusal(
  call: () => Promise<unknown>,
): Promise<APIError & { headers: Headers }> {
  try {
    await call()
  } catch (error) {
    assert.ok(error instanceof APIError, String(error))
    return error as APIError & { headers: Headers }
  }
  throw new Error('the call was not refused')
}
