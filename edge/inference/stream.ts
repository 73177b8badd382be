import { log, type Ctx } from '../context.ts'
import { errorMember, Problem } from '../problem.ts'
import type { Generation } from './generate.ts'
import { firstChunk, lastChunks, textChunk, type Frame } from './openai.ts'

const encoder = new TextEncoder()
const sse = (data: unknown) => encoder.encode(`data: ${JSON.stringify(data)}\n\n`)

/**
 * Streams an answer as OpenAI's server-sent events. A failure after the first byte becomes an `error` event, after
 * which nothing follows. The pump outlives the connection: when the caller goes away it stops the worker, or, when
 * all text is there, sees the receipt through.
 */
export function streamAnswer(ctx: Ctx, generation: Generation, frame: Frame): Response {
  const { readable, writable } = new IdentityTransformStream()
  ctx.waitUntil(pump(ctx, generation, frame, writable.getWriter()))
  return new Response(readable, {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' },
  })
}

async function pump(
  ctx: Ctx,
  generation: Generation,
  frame: Frame,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  let connected = true
  const send = async (...chunks: Uint8Array[]) => {
    if (!connected) return
    try {
      for (const bytes of chunks) await writer.write(bytes)
    } catch {
      connected = false // the caller has gone
      generation.cancel()
    }
  }
  // A caller that goes away while the worker thinks is noticed before the next text.
  writer.closed.catch(() => {
    connected = false
    generation.cancel()
  })
  const first = firstChunk(frame)
  if (first) await send(sse(first))
  try {
    for await (const answer of generation.answers)
      if (answer.type === 'token') await send(sse(textChunk(frame, answer.text)))
      else await send(...lastChunks(frame, answer).map(sse), encoder.encode('data: [DONE]\n\n'))
  } catch (error) {
    if (connected) log('error', { requestId: ctx.requestId, during: 'stream', error })
    const problem =
      error instanceof Problem ? error : new Problem('inference/failed', { cause: error })
    await send(sse({ error: errorMember(problem) }))
  }
  if (connected) await writer.close()
}
