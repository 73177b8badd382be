import { spawn, type ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { openPartLog, type PartLog } from './part-log.ts'
import { DISK_FULL_ADVICE, StackError } from './stack-error.ts'

/** A child process of the stack: how to start it and how to know that it serves. */
export type PartSpec = {
  name: string
  command: string
  args: string[]
  env?: Record<string, string>
  /** Ports on 127.0.0.1 that must be free before it starts. */
  ports: number[]
  /** Whether it serves. May throw: that means not yet. */
  ready: () => Promise<boolean>
  /** Whether to poll `ready` for ever: for a part whose main process can outlive what it serves with. */
  watch?: boolean
}

export type Part = {
  readonly name: string
  /** Process group of the running child; undefined while it is down. */
  pid: () => number | undefined
  /** How often it died and was started again. */
  restarts: () => number
  /** Sends a signal to the child's whole process group, as a crash or an operator would. */
  signal: (signal: NodeJS.Signals) => void
  /** Ends it and leaves it down until `start`. */
  stop: () => Promise<void>
  /** Starts it again after `stop`, and waits until it serves. */
  start: () => Promise<void>
  /** Waits until it serves, over restarts. */
  untilReady: (timeoutMs?: number) => Promise<void>
}

export type SupervisorOptions = {
  logDir: string
  /** One line for the user. */
  say: (line: string) => void
  /** A part cannot be kept alive. */
  onFatal: (error: StackError) => void
  /** The set of running process groups changed. */
  onPids?: (pids: { name: string; pid: number }[]) => void
}

export type Supervisor = {
  run: (spec: PartSpec) => Promise<Part>
  /** Ends every part, last started first; resolves when none is left. */
  stopAll: () => Promise<void>
  /** SIGKILLs every process group at once. */
  killAll: () => void
}

const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 8_000
const POLL_MS = 100
const WATCH_MS = 2_000
const WATCH_FAILURES = 3 // then the part counts as dead
const DEATHS_ALLOWED = 5 // within DEATHS_WINDOW_MS; one more is fatal
const DEATHS_WINDOW_MS = 60_000
const BACKOFF_MS = [200, 500, 1_000, 2_000, 4_000]

/**
 * Starts parts as process groups of their own (so that a terminal's Ctrl-C reaches only us and we end them in
 * order), keeps their output in `<logDir>/<name>.log`, and starts a part again when it dies.
 */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const parts: Part[] = []
  let closed = false
  const report = () =>
    options.onPids?.(
      parts.flatMap((part) => {
        const pid = part.pid()
        return pid === undefined ? [] : [{ name: part.name, pid }]
      }),
    )
  return {
    run: async (spec) => {
      const part = supervise(spec, { ...options, isClosed: () => closed }, report)
      parts.push(part)
      await part.start()
      return part
    },
    stopAll: async () => {
      closed = true
      for (const part of parts.toReversed()) await part.stop()
    },
    killAll: () => {
      for (const part of parts) part.signal('SIGKILL')
    },
  }
}

type PartOptions = SupervisorOptions & { isClosed: () => boolean }

function supervise(spec: PartSpec, options: PartOptions, report: () => void): Part {
  const log: PartLog = openPartLog(options.logDir, spec.name, options.say)
  let child: ChildProcess | undefined
  let wanted = false // whether it should be up
  let deaths: number[] = []
  let restarts = 0
  let watching: NodeJS.Timeout | undefined

  const launch = () => {
    if (options.isClosed()) throw new StackError(spec.name, 'not started: the stack is stopping')
    const launched = spawn(spec.command, spec.args, {
      detached: true, // its own process group
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...spec.env },
    })
    child = launched
    log.follow(launched.stdout)
    log.follow(launched.stderr)
    const onEnd = (how: string) => {
      // The leader is gone; what it started must not outlive it and hold its ports.
      signalGroup(launched.pid, 'SIGKILL')
      if (child === launched) child = undefined
      report()
      if (wanted) void revive(how)
    }
    launched.once('error', (error) => {
      log.note(`could not be started: ${error.message}`)
      onEnd(error.message)
    })
    launched.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`))
    report()
    if (spec.watch) watch(launched)
  }

  const watch = (launched: ChildProcess) => {
    clearInterval(watching)
    let failures = 0
    let wasReady = false
    watching = setInterval(async () => {
      if (child !== launched) return
      const answers = await spec.ready().catch((error: unknown) => !isRefused(error))
      wasReady ||= answers
      failures = answers ? 0 : failures + 1
      if (wasReady && failures >= WATCH_FAILURES && child === launched) {
        options.say(`${spec.name} no longer listens; ending what is left of it`)
        signalGroup(launched.pid, 'SIGKILL')
      }
    }, WATCH_MS)
    watching.unref()
  }

  const revive = async (how: string) => {
    const now = Date.now()
    deaths = [...deaths.filter((at) => at > now - DEATHS_WINDOW_MS), now]
    if (deaths.length > DEATHS_ALLOWED) {
      wanted = false
      return options.onFatal(
        new StackError(
          spec.name,
          `died ${deaths.length} times within a minute (${how})${log.tail()}`,
        ),
      )
    }
    options.say(`${spec.name} died (${how}); starting it again. Its log: ${log.path}`)
    restarts++
    await sleep(BACKOFF_MS[deaths.length - 1] ?? 0)
    if (wanted && !child && !options.isClosed()) launch()
  }

  const notServing = (timeoutMs: number) =>
    new StackError(spec.name, `did not serve within ${timeoutMs / 1000} s${log.tail()}`)

  const untilReady = async (timeoutMs = READY_TIMEOUT_MS) => {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      if (child && (await spec.ready().catch(() => false))) return
      if (!wanted) throw new StackError(spec.name, `is down${log.tail()}`)
      if (Date.now() > deadline) throw notServing(timeoutMs)
      await sleep(POLL_MS)
    }
  }

  return {
    name: spec.name,
    pid: () => child?.pid,
    restarts: () => restarts,
    signal: (signal) => signalGroup(child?.pid, signal),
    untilReady,
    start: async () => {
      for (const port of spec.ports) await requireFreePort(spec.name, port)
      launch()
      // Not `wanted` yet: a part that dies before it ever served is set up wrongly, and nobody revives it.
      const deadline = Date.now() + READY_TIMEOUT_MS
      while (!(await spec.ready().catch(() => false))) {
        if (!child) {
          await sleep(POLL_MS) // its last words are still in the pipe
          const why = log.sawDiskFull() ? DISK_FULL_ADVICE : `it ended. Its log: ${log.path}`
          throw new StackError(spec.name, `did not start: ${why}${log.tail()}`)
        }
        if (Date.now() > deadline) throw notServing(READY_TIMEOUT_MS)
        await sleep(POLL_MS)
      }
      wanted = true
      if (!child) void revive('ended as it began to serve')
    },
    stop: async () => {
      wanted = false
      clearInterval(watching)
      const leaving = child
      if (!leaving) return
      const ended = new Promise<void>((resolve) => leaving.once('exit', () => resolve()))
      signalGroup(leaving.pid, 'SIGCONT')
      signalGroup(leaving.pid, 'SIGTERM')
      const timer = setTimeout(() => signalGroup(leaving.pid, 'SIGKILL'), STOP_TIMEOUT_MS)
      await ended
      clearTimeout(timer)
    },
  }
}

const PORT_TRIES = 15 // a process that was just killed frees its ports a moment later

/** Throws a StackError naming the part when something else listens on the port. */
export async function requireFreePort(part: string, port: number): Promise<void> {
  for (let tries = 1; ; tries++) {
    const failure = await listenFailure(port)
    if (!failure) return
    if (failure.code !== 'EADDRINUSE')
      throw new StackError(part, `cannot listen on port ${port}: ${failure.message}`)
    if (tries === PORT_TRIES)
      throw new StackError(
        part,
        `port ${port} is in use. Stop what listens there, or choose other ports with --port-base N`,
      )
    await sleep(POLL_MS)
  }
}

const listenFailure = (port: number): Promise<NodeJS.ErrnoException | null> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', resolve)
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(null)))
  })

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch (error) {
    // ESRCH: the group has already ended.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function isRefused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED'
}
