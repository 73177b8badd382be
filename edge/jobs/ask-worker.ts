import type { Hex } from '#protocol/bytes.ts'
import type { Ctx } from '../context.ts'
import { log } from '../log.ts'
import { Problem } from '../problem.ts'
import { liveWorkers, postToWorker } from './workers.ts'

/** Until the answer begins: an export is made whole first. */
const ANSWER_WITHIN_MS = 10 * 60_000
const RETRY_AFTER_SECONDS = 5

/**
 * Has one of a base's live workers do something that answers to no account by itself: the first that is neither down
 * nor busy. Throws `model/unavailable` when none is, and `request/invalid` with the worker's words when it refuses.
 */
export async function askWorker(
  ctx: Ctx,
  base: Hex,
  path: '/preview' | '/export',
  body: object,
): Promise<Response> {
  for (const worker of await liveWorkers(ctx, base)) {
    const response = await postToWorker(worker, path, {
      token: ctx.settings.WORKER_TOKEN,
      body,
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    }).catch((error: unknown) => {
      log('warn', { requestId: ctx.requestId, worker: worker.id, path, error })
      return null
    })
    if (response?.ok) return response
    if (response?.status === 422) {
      const { title } = (await response.json()) as { title?: string }
      throw new Problem('request/invalid', { detail: `The worker says: ${title}.` })
    }
    log('warn', { requestId: ctx.requestId, worker: worker.id, path, status: response?.status })
    await response?.body?.cancel()
  }
  throw new Problem('model/unavailable', { retryAfter: RETRY_AFTER_SECONDS })
}
