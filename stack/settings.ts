import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { toHex } from '#protocol/bytes.ts'
import { bytes32 } from '#protocol/wire.ts'
import { writeFileAtomic } from './files.ts'
import { StackError } from './stack-error.ts'

/** Repository root: where wrangler.toml, migrations/ and the parts' entry files lie. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Ports a stack listens on, all on 127.0.0.1. */
export type Ports = {
  chain: number
  da: number
  postgres: number
  edge: number
  worker: number
  inspector: number
}

const DEFAULT_PORTS: Ports = {
  chain: 8545,
  da: 3100,
  postgres: 5433,
  edge: 8787,
  worker: 8790,
  inspector: 9229,
}

/** Six consecutive ports from `base`, or the customary ones when no base is given. */
export const portsFrom = (base?: number): Ports =>
  base === undefined
    ? DEFAULT_PORTS
    : {
        chain: base,
        da: base + 1,
        postgres: base + 2,
        edge: base + 3,
        worker: base + 4,
        inspector: base + 5,
      }

/** Folders of one stack's state. Everything it ever writes lies under `root`. */
export type StateDirs = {
  root: string
  chain: string
  da: string
  postgres: string
  edge: string
  worker: string
  logs: string
  /** What parts write for a while; emptied at every start, because a part that is killed leaves it behind. */
  tmp: string
}

const PART_FOLDERS = ['chain', 'da', 'postgres', 'edge', 'worker', 'logs', 'tmp'] as const
const STATE_FILES = ['secrets.json', 'deployment.json', 'run.json', 'sample.json', 'edge.env']

/**
 * Names and makes the state folders under `root`; with `fresh`, empties `root` first. Refuses to empty a
 * folder that holds anything a stack did not write.
 */
export function prepareState(root: string, fresh: boolean): StateDirs {
  if (fresh && existsSync(root)) {
    const known = new Set<string>([...PART_FOLDERS, ...STATE_FILES])
    const foreign = readdirSync(root).filter(
      (name) => !known.has(name) && !/\.(tmp|new)$/.test(name),
    )
    if (foreign.length > 0)
      throw new StackError(
        'state',
        `${root} holds ${foreign.slice(0, 3).join(', ')}, which is not a stack's; --fresh will not delete it`,
      )
    rmSync(root, { recursive: true, force: true })
  }
  const dirs = Object.fromEntries(PART_FOLDERS.map((name) => [name, join(root, name)]))
  for (const dir of Object.values(dirs)) mkdirSync(dir, { recursive: true })
  return { root, ...dirs } as StateDirs
}

const secretsSchema = z.object({
  operatorKey: bytes32,
  workerKey: bytes32,
  workerToken: z.string().min(32),
  textsKey: bytes32,
})

/** Keys that a stack makes for itself once; readable by the owner only. */
export type Secrets = z.infer<typeof secretsSchema>

/** Reads the stack's keys, or makes them on fresh state. */
export function loadSecrets(dirs: StateDirs): Secrets {
  const path = join(dirs.root, 'secrets.json')
  if (existsSync(path)) return readState(path, secretsSchema)
  const secrets: Secrets = {
    operatorKey: toHex(randomBytes(32)),
    workerKey: toHex(randomBytes(32)),
    workerToken: randomBytes(32).toString('base64url'),
    textsKey: toHex(randomBytes(32)),
  }
  writeFileAtomic(path, JSON.stringify(secrets, null, 2), 0o600)
  return secrets
}

/** Parses a JSON state file; a damaged one is a StackError that says how to get out. */
export function readState<T>(path: string, schema: z.ZodType<T, unknown>): T {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    throw new StackError('state', `${path} is damaged; --fresh starts over`, { cause })
  }
}
