import { newId } from '#protocol/ids.ts'
import { makeCtx, type Ctx } from '../context.ts'
import { log } from '../log.ts'
import type { Env } from '../env.ts'

const MAX_RETRY_SECONDS = 60

export type Consumer = (
  batch: MessageBatch<unknown>,
  env: Env,
  execution: ExecutionContext,
) => Promise<void>

/**
 * A consumer that runs a queue's messages through their handler, in order. A handler that throws has its message
 * delivered again later; handlers are idempotent, because queues deliver at least once. One log line a message.
 */
export function consumer<Body>(
  parse: (body: unknown) => Body,
  handle: (ctx: Ctx, body: Body) => Promise<void>,
): Consumer {
  return async (batch, env, execution) => {
    for (const message of batch.messages) {
      const started = Date.now()
      const requestId = newId('request')
      const line = {
        requestId,
        queue: batch.queue,
        message: message.body,
        attempt: message.attempts,
      }
      try {
        const actor = { kind: 'system' as const, name: batch.queue }
        await handle(makeCtx(env, execution, { actor, requestId }), parse(message.body))
        message.ack()
        log('info', { ...line, outcome: 'done', ms: Date.now() - started })
      } catch (error) {
        message.retry({ delaySeconds: Math.min(2 ** (message.attempts - 1), MAX_RETRY_SECONDS) })
        log('error', { ...line, outcome: 'retry', ms: Date.now() - started, error })
      }
    }
  }
}
