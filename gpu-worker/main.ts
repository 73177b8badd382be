/** The gpu-worker: serves inference with attribution, and trains what the edge leases to it. */
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { privateKeyToAccount } from 'viem/accounts'
import { chooseProvider, type ProviderChoice } from '#engine/providers.ts'
import { quantBits } from '#engine/quant.ts'
import { lowerCase, type Hex } from '#protocol/bytes.ts'
import { METHOD_VERSION } from '#protocol/score.ts'
import type { WorkerHello } from '#protocol/wire.ts'
import { identifyBase } from './base-model.ts'
import { pause } from './blobs.ts'
import { edgeClient } from './edge-client.ts'
import { createHttpServer } from './http-server.ts'
import { log } from './log.ts'
import { createMetrics, type Sample } from './metrics.ts'
import { servingMemory } from './serving/base-memory.ts'
import { startInference } from './serving/inference.ts'
import type { InferenceStatus } from './serving/inference-service.ts'
import { parseSettings, type Settings } from './settings.ts'
import { openExporter } from './training/exporter.ts'
import { availableMemory, shapeOf } from './training/memory.ts'
import { openPreview } from './training/preview.ts'
import { runLeaseLoop } from './training/supervisor.ts'

/** How often the edge hears that this worker is there. */
const REGISTER_EVERY_MS = 5_000
/** Adapters that the edge is told of: those pinned, then the most recently used. */
const MOST_ANNOUNCED = 256
/** How long the edge may take to hear that this worker leaves. */
const TELL_MS = 1_000
const REGISTER_AGAIN_AFTER_MS = 1_000
/** How long answers may take to finish after SIGTERM. */
const DRAIN_MS = 8_000

async function main(): Promise<void> {
  const settings = parseSettings(process.env)
  const scratchDir = join(settings.STATE_DIR, 'scratch')
  await mkdir(scratchDir, { recursive: true })
  const base = await identifyBase(settings.MODEL_DIR)
  const { name, digest, contextLength } = base
  const format = settings.BASE_FORMAT
  const { bytes: baseBytes } = servingMemory(base.config, format, availableMemory())
  const device = await chooseDevice(settings)
  for (const line of device.report) log('info', 'device', { message: line })
  const session = { provider: device.provider, threads: settings.THREADS }
  const account = privateKeyToAccount(settings.WORKER_KEY)
  const metrics = createMetrics(() =>
    sampleOf(inference.status(), { settings, baseBytes, isTraining: job !== null }),
  )
  const inference = await startInference({ session, settings }, (tier, seconds) =>
    metrics.adapterLoad.observe({ tier }, seconds),
  )

  const stopping = new AbortController()
  let workerId: string | null = null
  let job: { jobId: string; pid: number } | null = null
  const access = { edgeUrl: settings.EDGE_URL, token: settings.WORKER_TOKEN }
  const server = createHttpServer({
    token: settings.WORKER_TOKEN,
    inference,
    metrics,
    preview: openPreview(base),
    exporter: await openExporter(join(settings.STATE_DIR, 'exports'), {
      ...access,
      modelDirectory: base.directory,
    }),
    health: () => ({
      status: stopping.signal.aborted ? 'stopping' : 'ok',
      device: device.provider,
      deviceReport: device.report,
      base: { name, digest, contextLength, format, memoryBytes: baseBytes },
      worker: lowerCase(account.address),
      registered: workerId,
      versions: { node: process.version, attributionMethod: METHOD_VERSION },
      ...inference.status(),
      training: job,
    }),
  })
  server.listen(settings.PORT)
  await once(server, 'listening')
  log('info', 'serving', {
    port: settings.PORT,
    base: name,
    digest,
    format,
    device: device.provider,
  })

  const edge = edgeClient(settings.EDGE_URL, settings.WORKER_TOKEN)
  const training = { shape: shapeOf(base.config), memoryBytes: availableMemory() }
  const isPinned = (adapter: Hex): boolean => settings.PINNED_ADAPTERS.includes(adapter)
  const hello = (): WorkerHello => {
    const { capacity, active, waiting, adapters } = inference.status()
    const lately = adapters.resident.toReversed()
    return {
      address: lowerCase(account.address),
      url: settings.WORKER_URL,
      device: describeDevice(device),
      bases: [{ name, digest, contextLength, training }],
      load: {
        capacity,
        active,
        waiting,
        resident: [
          ...lately.filter(isPinned),
          ...lately.filter((digest) => !isPinned(digest)),
        ].slice(0, MOST_ANNOUNCED),
        draining: stopping.signal.aborted,
      },
    }
  }
  const loops = Promise.all([
    stayRegistered(edge, hello, stopping.signal, (id) => (workerId = id)),
    runLeaseLoop({
      edge,
      settings: {
        ...access,
        modelDirectory: base.directory,
        checkpointEveryMs: settings.CHECKPOINT_SECONDS * 1000,
        scratchDir,
        ...session,
      },
      workerId: () => workerId,
      onJob: (running, verdict) => {
        job = running && { jobId: running.lease.job.jobId, pid: running.pid }
        if (verdict) metrics.trainingJobs.inc({ outcome: verdict.outcome })
      },
      signal: stopping.signal,
    }),
  ])

  const stop = async (signal: NodeJS.Signals) => {
    if (stopping.signal.aborted) process.exit(1) // asked twice
    log('info', 'stopping', { signal })
    stopping.abort()
    // The edge stops sending before the port closes; when it cannot be told, it finds out by asking in vain.
    await edge.register(hello(), AbortSignal.timeout(TELL_MS)).catch(() => {})
    const drained = new Promise((resolve) => server.close(resolve))
    server.closeIdleConnections()
    await Promise.race([Promise.all([drained, loops]), pause(DRAIN_MS)])
    await inference.stop()
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

/** What Prometheus is told of the worker's state now. */
function sampleOf(
  status: InferenceStatus,
  {
    settings,
    baseBytes,
    isTraining,
  }: { settings: Settings; baseBytes: number; isTraining: boolean },
): Sample {
  const { PINNED_ADAPTERS: pinned, BASE_FORMAT: format } = settings
  const { adapters, indexes } = status
  return {
    gauges: {
      openledger_requests_active: status.active,
      openledger_requests_waiting: status.waiting,
      openledger_tokens_per_second: status.tokensPerSecond,
      openledger_adapters_resident: adapters.resident.length,
      openledger_adapters_resident_bytes: adapters.residentBytes,
      openledger_adapters_budget_bytes: adapters.budgetBytes,
      openledger_adapters_pinned: adapters.resident.filter((digest) => pinned.includes(digest))
        .length,
      openledger_adapter_hit_ratio: adapters.hits / Math.max(1, adapters.hits + adapters.misses),
      openledger_indexes_resident: indexes.resident.length,
      openledger_indexes_resident_bytes: indexes.residentBytes,
      openledger_indexes_budget_bytes: indexes.budgetBytes,
      openledger_base_bits: format === 'f32' ? 32 : quantBits(format),
      openledger_base_bytes: baseBytes,
      openledger_training_running: isTraining ? 1 : 0,
    },
    totals: {
      openledger_adapter_hits_total: adapters.hits,
      openledger_adapter_misses_total: adapters.misses,
      openledger_adapter_evictions_total: adapters.evictions,
      openledger_index_hits_total: indexes.hits,
      openledger_index_misses_total: indexes.misses,
      openledger_index_evictions_total: indexes.evictions,
      openledger_deferrals_total: status.deferrals,
    },
    loras: { capacity: status.capacity, running: status.running, waiting: status.queued },
  }
}

/** The provider that was asked for, or the best one; throws when the one asked for cannot be used. */
async function chooseDevice({
  DEVICE: wanted,
  BASE_FORMAT: format,
}: Settings): Promise<ProviderChoice> {
  if (wanted === 'cpu') return { provider: 'cpu', report: ['cpu: chosen by DEVICE'] }
  const choice = await chooseProvider(format, wanted === 'auto' ? undefined : [wanted])
  if (wanted !== 'auto' && choice.provider !== wanted)
    throw new Error(`DEVICE is ${wanted}, but it cannot be used: ${choice.report.join('; ')}`)
  return choice
}

const DEVICE_CHARS = 200
const describeDevice = ({ provider, report }: ProviderChoice): string =>
  `${provider} (${report.join('; ')})`.slice(0, DEVICE_CHARS)

/** Keeps telling the edge that this worker is there; an edge that is away is asked again and again. */
async function stayRegistered(
  edge: ReturnType<typeof edgeClient>,
  hello: () => WorkerHello,
  signal: AbortSignal,
  onId: (workerId: string | null) => void,
): Promise<void> {
  let known: string | null = null
  while (!signal.aborted) {
    const id: string | null = await edge.register(hello(), signal).catch((error: unknown) => {
      if (!signal.aborted) log('warn', 'not registered', { error })
      return null
    })
    if (id !== null && id !== known) log('info', 'registered', { workerId: id })
    known = id
    onId(id)
    await pause(id === null ? REGISTER_AGAIN_AFTER_MS : REGISTER_EVERY_MS, signal).catch(() => {})
  }
}

await main().catch((error: unknown) => {
  log('error', 'gpu-worker cannot start', { error })
  process.exit(1)
})
