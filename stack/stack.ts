import { statfsSync } from 'node:fs'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { CHAIN_ID, chainPart, keepChainState, type ChainKeeper } from './chain.ts'
import { startDaServer } from './da-server.ts'
import { ensureDeployment, type Contracts } from './deployment.ts'
import { edgePart, ledgerUrl, migrateD1, sweepEdge } from './edge.ts'
import { workerPart } from './gpu-worker.ts'
import { migrateLedger } from './ledger-migrations.ts'
import { recordRun, releaseState, takeState } from './leftovers.ts'
import { createSupervisor, requireFreePort, type Part, type PartSpec } from './processes.ts'
import {
  loadSecrets,
  portsFrom,
  prepareState,
  ROOT,
  type Ports,
  type Secrets,
  type StateDirs,
} from './settings.ts'
import { DISK_FULL_ADVICE, StackError } from './stack-error.ts'

const url = (port: number) => `http://127.0.0.1:${port}`

export type StackOptions = {
  stateDir: string
  fresh: boolean
  portBase?: number
  /** Seconds after which an epoch with receipts closes. */
  epochSeconds?: number
  /** One line about the stack's life for the user. */
  say: (line: string) => void
  /** A part began to serve. */
  onPart?: (name: string) => void
  /** Stops the stack, also while it is still starting. */
  signal?: AbortSignal
  /** A part cannot be kept alive; the stack is stopped before this is called. */
  onFatal: (error: StackError) => void
}

export type Stack = {
  urls: { edge: string; chain: string; da: string; worker: string; ledger: string }
  chainId: number
  contracts: Contracts
  secrets: Secrets
  dirs: StateDirs
  ports: Ports
  parts: Record<PartName, Part>
  /** Ends every part, keeping their state. Idempotent. */
  stop: () => Promise<void>
}

export const PART_NAMES = ['chain', 'postgres', 'edge', 'gpu-worker'] as const
export type PartName = (typeof PART_NAMES)[number]

const PART_OF_PORT: Record<string, string> = { worker: 'gpu-worker', inspector: 'edge' }
const EPOCH_SECONDS = 5
const MIN_FREE_BYTES = 512 * 2 ** 20

/**
 * Starts the local stack on a state folder and resolves when every part serves. Parts start side by side where
 * they do not need each other. On failure everything that was started is ended, and the error names the part.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { say, onPart } = options
  const ports = portsFrom(options.portBase)
  const dirs = prepareState(options.stateDir, options.fresh)
  requireDiskSpace(dirs.root)
  takeState(dirs, say)

  const secrets = loadSecrets(dirs)
  let stopping: Promise<void> | undefined
  let da: Server | undefined
  let keeper: ChainKeeper | undefined
  let endSweeps: (() => void) | undefined

  const supervisor = createSupervisor({
    logDir: dirs.logs,
    say,
    onFatal: (error) => void stop().finally(() => options.onFatal(error)),
    onPids: (pids) => {
      if (!stopping) recordRun(dirs, pids)
    },
  })
  const stop = () =>
    (stopping ??= (async () => {
      endSweeps?.()
      da?.close()
      await keeper?.close()
      await supervisor.stopAll()
      process.removeListener('exit', supervisor.killAll)
      releaseState(dirs)
    })())
  // However this process ends, its children go with it.
  process.once('exit', supervisor.killAll)
  options.signal?.addEventListener('abort', () => void stop())
  const run = async (spec: PartSpec) => {
    const part = await supervisor.run(spec)
    onPart?.(spec.name)
    return part
  }

  try {
    // All of them before anything starts: nobody should wait for a chain to learn that another port is taken.
    for (const [name, port] of Object.entries(ports))
      await requireFreePort(PART_OF_PORT[name] ?? name, port)
    const startChain = async () => {
      const part = await run(chainPart(dirs.chain, ports.chain))
      keeper = keepChainState(dirs.chain, url(ports.chain), say)
      return { part, contracts: await ensureDeployment(dirs, url(ports.chain), secrets) }
    }
    const startPostgres = async () => {
      const part = await run({
        name: 'postgres',
        command: process.execPath,
        args: [`${ROOT}stack/postgres.ts`, dirs.postgres, String(ports.postgres)],
        ports: [ports.postgres],
        ready: async () => listens(ports.postgres),
      })
      await migrateLedger(ledgerUrl(ports))
      return part
    }
    const startDa = async () => {
      da = await startDaServer(dirs.da, ports.da)
      onPart?.('da')
    }
    const [{ part: chain, contracts }, postgres] = await allOrFirstError([
      startChain(),
      startPostgres(),
      migrateD1(dirs),
      startDa(),
    ])
    const [edge, worker] = await allOrFirstError([
      run(
        edgePart({
          dirs,
          ports,
          secrets,
          contracts,
          epochSeconds: options.epochSeconds ?? EPOCH_SECONDS,
        }),
      ),
      run(workerPart({ dirs, ports, secrets, contracts })),
    ])
    endSweeps = sweepEdge(ports)
    return {
      urls: {
        edge: url(ports.edge),
        chain: url(ports.chain),
        da: url(ports.da),
        worker: url(ports.worker),
        ledger: ledgerUrl(ports),
      },
      chainId: CHAIN_ID,
      contracts,
      secrets,
      dirs,
      ports,
      stop,
      parts: { chain, postgres, edge, 'gpu-worker': worker },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Promise.all that waits for the others to settle before it throws, so that nothing starts after a failure. */
async function allOrFirstError<T extends readonly unknown[]>(work: {
  [K in keyof T]: Promise<T[K]>
}): Promise<T> {
  const settled = await Promise.allSettled(work)
  const failed = settled.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
  return settled.map((result) => (result as PromiseFulfilledResult<unknown>).value) as unknown as T
}

function requireDiskSpace(dir: string): void {
  const { bavail, bsize } = statfsSync(dir)
  const free = bavail * bsize
  if (free < MIN_FREE_BYTES)
    throw new StackError(
      'state',
      `${dir} has ${Math.floor(free / 2 ** 20)} MiB left of the ${MIN_FREE_BYTES / 2 ** 20} a stack needs: ${DISK_FULL_ADVICE}`,
    )
}

/** Whether something accepts TCP connections on the port. */
const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
