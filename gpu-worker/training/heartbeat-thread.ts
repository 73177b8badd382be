/**
 * The thread that keeps a lease alive: training blocks its own thread for whole steps, and a step may take longer than
 * a lease lives. What happened since the last beat goes with the next one, and stays until the edge has it.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { JobProgress } from '#protocol/wire.ts'
import { EdgeError, pause } from '../blobs.ts'
import { edgeClient } from '../edge-client.ts'
import type { HeartbeatInput, HeartbeatNews, HeartbeatSettings } from './heartbeat.ts'

const BEAT_EVERY_MS = 1_000
/** The most events a heartbeat carries; older ones are dropped when the edge stays away for long. */
const MOST_EVENTS = 1_000
/** A training thread that says nothing for this long hangs: the process ends, the lease expires. */
const STALLED_AFTER_MS = 20 * 60_000

const port = parentPort
if (!port) throw new Error('heartbeat-thread.ts runs as a worker thread')
const { edgeUrl, token, leaseId } = workerData as HeartbeatSettings
const edge = edgeClient(edgeUrl, token)
const tell = (news: HeartbeatNews) => port.postMessage(news)

let phase: JobProgress['phase'] = 'preparing'
let done = 0
let events: JobProgress['events'] = []
let checkpoint: JobProgress['checkpoint']
let heardAt = Date.now()
const stopping = new AbortController()

port.on('message', (input: HeartbeatInput) => {
  heardAt = Date.now()
  if (input.type === 'progress') ({ phase, done } = input)
  else if (input.type === 'event') events = [...events, input.event].slice(-MOST_EVENTS)
  else if (input.type === 'checkpoint') checkpoint = input.blob
  else stopping.abort()
})

async function beat(): Promise<void> {
  const sent = { phase, done, events, ...(checkpoint && { checkpoint }) }
  const { cancelled } = await edge.heartbeat(leaseId, sent)
  events = events.filter((event) => !sent.events.includes(event))
  if (checkpoint === sent.checkpoint) checkpoint = undefined
  if (cancelled) tell({ type: 'ended', reason: 'cancelled' })
}

for (;;) {
  if (Date.now() - heardAt > STALLED_AFTER_MS) process.kill(process.pid, 'SIGKILL')
  const isLast = stopping.signal.aborted
  try {
    await beat()
  } catch (error) {
    // A lease that is gone or belongs to another worker is not coming back; an edge that is away is.
    const isGone = error instanceof EdgeError && [404, 409, 410].includes(error.status)
    if (isGone) tell({ type: 'ended', reason: 'lost' })
    else tell({ type: 'trouble', message: String(error) })
    if (isGone) break
  }
  if (isLast) break
  await pause(BEAT_EVERY_MS, stopping.signal).catch(() => {})
}
port.close()
