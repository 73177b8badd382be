/** The thread that reads indexes, beside the one that generates. */
import { parentPort } from 'node:worker_threads'
import { describeError } from '../log.ts'
import { buffersOf, readServed, type ReadRequest, type ServedParts } from './index-reading.ts'

export type ReaderInput = { id: number; request: ReadRequest }
export type ReaderOutput = { id: number } & ({ read: ServedParts } | { fault: string })

const port = parentPort
if (!port) throw new Error('index-thread.ts runs as a worker thread')
port.on('message', ({ id, request }: ReaderInput) => {
  try {
    const read = readServed(request)
    port.postMessage({ id, read } satisfies ReaderOutput, buffersOf(read))
  } catch (error) {
    port.postMessage({ id, fault: describeError(error) } satisfies ReaderOutput)
  }
})
