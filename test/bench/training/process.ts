/** A side of the comparison as a child process: it gets a task, is told to take steps, and ends with its peak of memory. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { z } from 'zod'

export type Task = {
  /** A model directory in Hugging Face layout. */
  model: string
  threads: number
  rank: number
  alpha: number
  learningRate: number
  rows: number
  length: number
  /** Token ids, rows * length of them a batch; every one is a target. */
  batches: number[][]
  /** Ours alone. */
  recompute?: boolean
  format?: 'f32' | 'int8' | 'int4'
}

const ready = z.object({ ready: z.string() })
const took = z.object({ seconds: z.number(), losses: z.array(z.number()) })
const ended = z.object({ peakBytes: z.number() })

export type Side = {
  name: string
  /** Takes steps; answers their seconds and losses. */
  steps: (count: number) => Promise<z.infer<typeof took>>
  /** Ends the process; answers the most memory that it had. */
  end: () => Promise<number>
}

/**
 * The most memory that this process has had in RAM. Linux keeps it per program; what getrusage tells may be what the
 * parent had when it started this one.
 */
export function peakBytes(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kibibytes) * 1024
}

/** Starts a side; throws with the end of what it wrote to stderr when it does not come up. */
export async function startSide(command: string, args: string[], task: Task): Promise<Side> {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, OMP_NUM_THREADS: String(task.threads), HF_HUB_OFFLINE: '1' },
  })
  let complaint = ''
  child.stderr.on('data', (text) => (complaint = `${complaint}${String(text)}`.slice(-2_000)))
  const spawned = new Promise<never>((_, reject) => child.once('error', reject))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async <T>(schema: z.ZodType<T>): Promise<T> => {
    const { value, done } = await Promise.race([lines.next(), spawned])
    if (done) throw new Error(`${command} ended: ${complaint}`)
    return schema.parse(JSON.parse(String(value)))
  }
  child.stdin.on('error', () => {}) // it ended: `next` says why
  child.stdin.write(`${JSON.stringify(task)}\n`)
  const { ready: name } = await next(ready)
  return {
    name,
    steps: (count) => {
      child.stdin.write(`${count}\n`)
      return next(took)
    },
    end: async () => {
      child.stdin.end()
      const { peakBytes } = await next(ended)
      child.kill()
      return peakBytes
    },
  }
}
