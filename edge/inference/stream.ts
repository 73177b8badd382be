import { log, type Ctx } from '../context.ts'
import { errorMember, Problem } from '../problem.ts'
import type { Generation } from './generate.ts'
import { firstChunk, lastChunks, textChunk, type Frame } from './openai.ts'

const encoder = new TextEncoder()
const sse = (data: unknown) => encoder.encode(`data: ${JSON.stringify(data)}\n\n`)

/**
 * Streams an answer as OpenAI's server-sent events. A failure after the first byte becomes an `error` event, after
 * which nothing follows. The pump outlives the connection: what was begun is settled, one way or the other.
 */
export function streamAnswer(
  ctx: Ctx,
  generation: Generation,
  frame: Frame,
  gone: AbortController,
): Response {
  const { readable, writable } = new IdentityTransformStream()
  ctx.waitUntil(pump(ctx, generation, frame, { writer: writable.getWriter(), gone }))
  return new Response(readable, {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' },
  })
}

type Caller = { writer: WritableStreamDefaultWriter<Uint8Array>; gone: AbortController }

async function pump(
  ctx: Ctx,
  generation: Generation,
  frame: Frame,
  { writer, gone }: Caller,
): Promise<void> {
  const send = async (...chunks: Uint8Array[]) => {
    try {
      for (const bytes of chunks) if (!gone.signal.aborted) await writer.write(bytes)
    } catch {
      gone.abort()
    }
  }
  const first = firstChunk(frame)
  if (first) await send(sse(first))
  let offset = 0
  try {
    for await (const answer of generation.answers)
      if (answer.type === 'token') {
        await send(sse(textChunk(frame, answer, offset)))
        for (const { token } of answer.logprobs ?? []) offset += token.length
      } else await send(...lastChunks(frame, answer).map(sse), encoder.encode('data: [DONE]\n\n'))
  } catch (error) {
    if (gone.signal.aborted) return
    log('error', { requestId: ctx.requestId, during: 'stream', error })
    const problem =
      error instanceof Problem ? error : new Problem('inference/failed', { cause: error })
    await send(sse({ error: errorMember(problem) }))
  }
  await writer.close().catch(() => undefined) // the caller has gone, and everything is settled
}
