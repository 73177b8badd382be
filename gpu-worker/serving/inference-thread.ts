/** The thread that computes answers: sessions block the thread they run in, and HTTP must not wait for them. */
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { privateKeyToAccount } from 'viem/accounts'
import { loadBaseModel } from '../base-model.ts'
import { edgeBlobs } from '../blobs.ts'
import { describeError, log } from '../log.ts'
import { openChain } from './chain.ts'
import { diskBlobs } from './disk-blobs.ts'
import type { ThreadInput, ThreadOutput, ThreadSettings } from './inference.ts'
import { openInference } from './inference-service.ts'
import { openRevocations } from './revocations.ts'
import { ServingError } from './serving-error.ts'

const port = parentPort
if (!port) throw new Error('inference-thread.ts runs as a worker thread')
const tell = (output: ThreadOutput) => port.postMessage(output)
const { session, settings } = workerData as ThreadSettings
const STATUS_EVERY_MS = 1_000

const service = await openInference({
  base: await loadBaseModel(settings.MODEL_DIR),
  session,
  format: settings.BASE_FORMAT,
  pinned: settings.PINNED_ADAPTERS,
  embedder: settings.EMBEDDER,
  chain: openChain({ rpcUrl: settings.RPC_URL, contracts: settings.CONTRACTS }),
  revocations: openRevocations(settings.EDGE_URL),
  blobs: diskBlobs(
    join(settings.STATE_DIR, 'blobs'),
    edgeBlobs(settings.EDGE_URL, settings.WORKER_TOKEN),
  ),
  onLoad: (tier, seconds) => tell({ type: 'loaded', tier, seconds }),
  account: privateKeyToAccount(settings.WORKER_KEY),
  domain: { chainId: settings.CHAIN_ID, settlement: settings.CONTRACTS.attributionSettlement },
})
const running = new Map<number, { gone: AbortController; enough: AbortController }>()
const report = () => tell({ type: 'status', status: service.status() })
// What changes between the beginnings and ends of answers, and what is loaded without one.
setInterval(report, STATUS_EVERY_MS).unref()

port.on('message', (input: ThreadInput) => {
  const caller = 'id' in input ? running.get(input.id) : undefined
  if (input.type === 'abort') caller?.gone.abort(new Error('the caller went away'))
  else if (input.type === 'finish')
    caller?.enough.abort(new Error('the caller went away before the first token'))
  else void work(input)
})

async function work(input: Exclude<ThreadInput, { type: 'abort' | 'finish' }>): Promise<void> {
  const { id } = input
  const [gone, enough] = [new AbortController(), new AbortController()]
  running.set(id, { gone, enough })
  try {
    const worked =
      input.type === 'explain'
        ? service
            .explain(input.request)
            .then((evidence) => tell({ type: 'evidence', id, evidence }))
        : service.answer(input.request, (event) => tell({ type: 'event', id, event }), {
            gone: gone.signal,
            enough: enough.signal,
          })
    report()
    await worked
  } catch (error) {
    const code = error instanceof ServingError ? error.code : 'inference/failed'
    if (code === 'inference/failed' && !gone.signal.aborted && !enough.signal.aborted)
      log('error', `${input.type} failed`, { adapter: input.request.adapter?.digest, error })
    const message =
      error instanceof ServingError ? error.message : `inference failed: ${describeError(error)}`
    const { retryAfterSeconds } = error instanceof ServingError ? error : {}
    const retryAfter = retryAfterSeconds !== undefined && { retryAfter: retryAfterSeconds }
    tell({ type: 'event', id, event: { type: 'error', code, message, ...retryAfter } })
  } finally {
    running.delete(id)
    tell({ type: 'done', id })
    report()
  }
}

report()
tell({ type: 'ready' })
