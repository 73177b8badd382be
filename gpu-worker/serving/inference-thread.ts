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
import { ServingError } from './serving-error.ts'

const port = parentPort
if (!port) throw new Error('inference-thread.ts runs as a worker thread')
const tell = (output: ThreadOutput) => port.postMessage(output)
const { session, settings } = workerData as ThreadSettings

const service = await openInference({
  base: await loadBaseModel(settings.MODEL_DIR),
  session,
  chain: openChain({ rpcUrl: settings.RPC_URL, contracts: settings.CONTRACTS }),
  blobs: diskBlobs(
    join(settings.STATE_DIR, 'blobs'),
    edgeBlobs(settings.EDGE_URL, settings.WORKER_TOKEN),
  ),
  account: privateKeyToAccount(settings.WORKER_KEY),
  domain: { chainId: settings.CHAIN_ID, settlement: settings.CONTRACTS.attributionSettlement },
})
const running = new Map<number, AbortController>()

port.on('message', (input: ThreadInput) => {
  if (input.type === 'abort') running.get(input.id)?.abort(new Error('the caller went away'))
  else void answer(input)
})

async function answer({ id, request }: Extract<ThreadInput, { type: 'generate' }>): Promise<void> {
  const controller = new AbortController()
  running.set(id, controller)
  tell({ type: 'status', status: service.status() })
  try {
    await service.answer(request, (event) => tell({ type: 'event', id, event }), controller.signal)
  } catch (error) {
    const code = error instanceof ServingError ? error.code : 'inference/failed'
    if (code === 'inference/failed' && !controller.signal.aborted)
      log('error', 'inference failed', { requestId: request.requestId, error })
    const message =
      error instanceof ServingError ? error.message : `inference failed: ${describeError(error)}`
    tell({ type: 'event', id, event: { type: 'error', code, message } })
  } finally {
    running.delete(id)
    tell({ type: 'done', id })
    tell({ type: 'status', status: service.status() })
  }
}

tell({ type: 'ready' })
