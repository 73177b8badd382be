import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from './files.ts'
import type { StateDirs } from './settings.ts'
import { StackError } from './stack-error.ts'

/**
 * Who runs on a state folder, so that two stacks never share one, and so that parts which a `kill -9` of the
 * supervisor left behind are ended by the next start. A process is known by its id and its start time: ids come again.
 */
const runFile = z.object({
  supervisor: z.object({ pid: z.int(), started: z.string() }),
  parts: z.array(z.object({ name: z.string(), pid: z.int(), started: z.string() })),
})
type RunFile = z.infer<typeof runFile>

/** Takes the state folder for this process; ends and deletes what a dead supervisor left. Throws when a live one has it. */
export function takeState(dirs: StateDirs, say: (line: string) => void): void {
  const previous = read(dirs)
  if (previous) {
    const { supervisor, parts } = previous
    if (supervisor.pid !== process.pid && isSame(supervisor))
      throw new StackError(
        'state',
        `${dirs.root} is used by process ${supervisor.pid}. Stop it first, or use --state DIR --port-base N`,
      )
    for (const part of parts)
      if (isSame(part)) {
        say(`ending the ${part.name} that an earlier run left behind (process ${part.pid})`)
        process.kill(-part.pid, 'SIGKILL')
      }
  }
  rmSync(dirs.tmp, { recursive: true, force: true, maxRetries: 3 })
  mkdirSync(dirs.tmp)
  recordRun(dirs, [])
}

/** Writes down which process groups are running now. */
export function recordRun(dirs: StateDirs, parts: readonly { name: string; pid: number }[]): void {
  const content: RunFile = {
    supervisor: { pid: process.pid, started: startOf(process.pid) ?? '' },
    parts: parts.map((part) => ({ ...part, started: startOf(part.pid) ?? '' })),
  }
  writeFileAtomic(path(dirs), JSON.stringify(content))
}

/** Gives the state folder back. */
export const releaseState = (dirs: StateDirs): void => rmSync(path(dirs), { force: true })

const path = (dirs: StateDirs) => join(dirs.root, 'run.json')

function read(dirs: StateDirs): RunFile | null {
  if (!existsSync(path(dirs))) return null
  try {
    return runFile.parse(JSON.parse(readFileSync(path(dirs), 'utf8')))
  } catch {
    return null // unreadable means unknown: a part that still runs then shows as a port in use
  }
}

const isSame = ({ pid, started }: { pid: number; started: string }): boolean =>
  started !== '' && startOf(pid) === started

/** When a process started, in the system's own words; undefined when it does not run. */
function startOf(pid: number): string | undefined {
  try {
    if (!existsSync('/proc/self/stat'))
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    // Fields after the command, which is in parentheses and may hold spaces: state is 3rd, start time 22nd.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}
