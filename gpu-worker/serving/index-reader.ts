/** The thread that reads indexes as seen from the one that generates; there is one per process, started when it is needed. */
import { Worker } from 'node:worker_threads'
import { log } from '../log.ts'
import type { ReadRequest, ServedParts } from './index-reading.ts'
import type { ReaderInput, ReaderOutput } from './index-thread.ts'
import { ServingError } from './serving-error.ts'

const waiting = new Map<number, PromiseWithResolvers<ServedParts>>()
let thread: Worker | null = null
let nextId = 1

/**
 * Verifies and reads the files of an index in a thread of its own. Rejects with an Error that names what does not hold, or
 * with a ServingError when the thread dies; the next call starts another.
 */
export function readInThread(request: ReadRequest): Promise<ServedParts> {
  const reader = (thread ??= start())
  const settle = Promise.withResolvers<ServedParts>()
  const id = nextId++
  waiting.set(id, settle)
  reader.ref() // a process lives as long as somebody waits
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  reader.postMessage({ id, request } satisfies ReaderInput)
  return settle.promise
}

function start(): Worker {
  const reader = new Worker(new URL('index-thread.ts', import.meta.url))
  reader.on('message', (output: ReaderOutput) => {
    const settle = waiting.get(output.id)
    waiting.delete(output.id)
    if (waiting.size === 0) reader.unref()
    if ('read' in output) settle?.resolve(output.read)
    else settle?.reject(new Error(output.fault))
  })
  reader.on('error', (error) => log('error', 'index thread died', { error }))
  reader.on('exit', () => {
    thread = null
    for (const settle of waiting.values())
      settle.reject(new ServingError('inference/failed', 'the index thread died'))
    waiting.clear()
  })
  return reader
}
