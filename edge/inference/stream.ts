import type { Ctx } from '../context.ts'
import { log } from '../log.ts'
import { errorMember, Problem } from '../problem.ts'
import { sendTo } from './caller.ts'
import type { Ended, Generation } from './generate.ts'
import { firstChunk, lastChunk, textChunk, usageChunk, type Frame } from './openai.ts'

const encoder = new TextEncoder()
const sse = (data: unknown) => encoder.encode(`data: ${JSON.stringify(data)}\n\n`)

/**
 * Streams answers, each with its index, as OpenAI's server-sent events. A failure after the first byte becomes an
 * `error` event once the other answers have ended, which are paid for; nothing follows it. The pump outlives the
 * connection: what was begun is settled, one way or the other.
 */
export function streamAnswers(
  ctx: Ctx,
  generations: readonly Generation[],
  frame: Frame,
  gone: AbortController,
): Response {
  const { readable, writable } = new IdentityTransformStream()
  ctx.waitUntil(pump(ctx, generations, frame, { writer: writable.getWriter(), gone }))
  return new Response(readable, {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' },
  })
}

type Caller = { writer: WritableStreamDefaultWriter<Uint8Array>; gone: AbortController }

async function pump(
  ctx: Ctx,
  generations: readonly Generation[],
  frame: Frame,
  { writer, gone }: Caller,
): Promise<void> {
  const send = sendTo(writer, gone)
  const said = await Promise.allSettled(
    generations.map((generation, choice) => say(generation, { ...frame, choice }, send)),
  )
  const ends = said.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const failed = said.find((one) => one.status === 'rejected')
  if (frame.includeUsage && ends.length > 0) await send(sse(usageChunk(frame, ends)))
  if (!failed) await send(encoder.encode('data: [DONE]\n\n'))
  else if (!gone.signal.aborted) {
    const error: unknown = failed.reason
    log('error', { requestId: ctx.requestId, during: 'stream', error })
    const problem =
      error instanceof Problem ? error : new Problem('inference/failed', { cause: error })
    await send(sse({ error: errorMember(problem) }))
  }
  // A caller who has gone takes no end, and everything is settled.
  if (gone.signal.aborted) writer.abort().catch(() => undefined)
  else await writer.close().catch(() => undefined)
}

/** Sends one answer to its end. */
async function say(
  generation: Generation,
  frame: Frame,
  send: ReturnType<typeof sendTo>,
): Promise<Ended> {
  const first = firstChunk(frame)
  if (first) await send(sse(first))
  let offset = 0
  for await (const answer of generation.answers) {
    if (answer.type === 'end') {
      await send(sse(lastChunk(frame, answer)))
      return answer
    }
    await send(sse(textChunk(frame, answer, offset)))
    for (const { token } of answer.logprobs ?? []) offset += token.length
  }
  throw new Problem('inference/failed')
}
