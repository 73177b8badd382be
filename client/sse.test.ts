import assert from 'node:assert/strict'
import test from 'node:test'
import { readEvents, type ServerSentEvent } from './sse.ts'

const streamOf = (chunks: string[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
      controller.close()
    },
  })

async function eventsOf(chunks: string[]): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = []
  for await (const event of readEvents(streamOf(chunks))) events.push(event)
  return events
}

test('events are the same however the bytes are cut into chunks', async () => {
  const text =
    'id: 7\nevent: metrics\ndata: {"a":1}\ndata: b\n\n: comment\n\r\ndata:x\r\n\r\ndata: é\n\n'
  const whole = await eventsOf([text])
  assert.deepEqual(whole, [
    { id: '7', event: 'metrics', data: '{"a":1}\nb' },
    { id: '7', event: 'message', data: 'x' },
    { id: '7', event: 'message', data: 'é' },
  ])
  for (let cut = 1; cut < text.length; cut++)
    assert.deepEqual(await eventsOf([text.slice(0, cut), text.slice(cut)]), whole, `cut at ${cut}`)
})

test('an event that the connection cut short is not delivered', async () => {
  assert.deepEqual(await eventsOf(['data: whole\n\n', 'data: half']), [
    { id: null, event: 'message', data: 'whole' },
  ])
})
