import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify, stripVTControlCharacters } from 'node:util'
import { CHAIN_ID } from './chain.ts'
import type { Contracts } from './deployment.ts'
import { writeFileAtomic } from './files.ts'
import type { PartSpec } from './processes.ts'
import { ROOT, type Ports, type Secrets, type StateDirs } from './settings.ts'
import { DISK_FULL_ADVICE, saysDiskFull, StackError } from './stack-error.ts'

const WRANGLER = join(ROOT, 'node_modules/wrangler/bin/wrangler.js')
const HEALTH_TIMEOUT_MS = 5_000
/** Nothing but the npm registry may be reached: no metrics, no placeholder for `request.cf`. */
const wranglerEnv = ({ logs, tmp }: StateDirs) => ({
  WRANGLER_SEND_METRICS: 'false',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  CI: '1', // answers prompts with their default
  WRANGLER_LOG_PATH: join(logs, 'wrangler'),
  TMPDIR: tmp,
})

export type EdgeOptions = {
  dirs: StateDirs
  ports: Ports
  secrets: Secrets
  contracts: Contracts
  epochSeconds: number
  /** Another configuration than wrangler.toml, such as a benchmark's. */
  config?: string
}

/** Applies migrations/d1 to the edge's database. Idempotent: wrangler keeps a table of what it applied. */
export async function migrateD1(dirs: StateDirs): Promise<void> {
  const args = ['d1', 'migrations', 'apply', 'openledger', '--local', '--persist-to', dirs.edge]
  try {
    await promisify(execFile)(process.execPath, [WRANGLER, ...args], {
      cwd: ROOT,
      env: { ...process.env, ...wranglerEnv(dirs) },
    })
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string }
    const said = stripVTControlCharacters(`${stdout}\n${stderr}`).trim()
    const why = saysDiskFull(said) ? DISK_FULL_ADVICE : `the D1 migrations failed\n${said}`
    throw new StackError('edge', why, { cause })
  }
}

/** The edge part: the Worker under `wrangler dev`, with its settings in a file that only the owner can read. */
export function edgePart(options: EdgeOptions): PartSpec {
  const { dirs, ports } = options
  const settings = join(dirs.root, 'edge.env')
  writeFileAtomic(settings, envFile(edgeSettings(options)), 0o600)
  const url = `http://127.0.0.1:${ports.edge}`
  return {
    name: 'edge',
    command: process.execPath,
    args: [
      WRANGLER,
      'dev',
      `--config=${options.config ?? join(ROOT, 'wrangler.toml')}`,
      '--local',
      '--ip=127.0.0.1',
      `--port=${ports.edge}`,
      `--inspector-port=${ports.inspector}`,
      `--persist-to=${dirs.edge}`,
      `--env-file=${settings}`,
      '--show-interactive-dev-session=false',
      '--log-level=info',
    ],
    env: {
      ...wranglerEnv(dirs),
      CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_LEDGER: ledgerUrl(ports),
    },
    ports: [ports.edge, ports.inspector],
    ready: async () => {
      const health = await fetch(`${url}/health`, {
        signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      })
      return health.ok
    },
    watch: true, // wrangler outlives a workerd that died
  }
}

/** Connection string of the stack's Postgres. */
export const ledgerUrl = (ports: Ports): string =>
  `postgres://postgres:postgres@127.0.0.1:${ports.postgres}/postgres`

function edgeSettings({ ports, secrets, contracts, epochSeconds }: EdgeOptions) {
  return {
    CHAIN_ID: String(CHAIN_ID),
    RPC_URL: `http://127.0.0.1:${ports.chain}`,
    DA_URL: `http://127.0.0.1:${ports.da}`,
    PUBLIC_URL: `http://127.0.0.1:${ports.edge}`,
    CONTRACTS: JSON.stringify(contracts),
    EPOCH_SECONDS: String(epochSeconds),
    OPERATOR_KEY: secrets.operatorKey,
    WORKER_TOKEN: secrets.workerToken,
    TEXTS_KEY: secrets.textsKey,
  }
}

/** dotenv text; single quotes keep JSON as it is. */
const envFile = (settings: Record<string, string>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}='${value}'\n`)
    .join('')

const SWEEP_MS = 10_000

/** Does what Cloudflare's cron does: calls scheduled() every 10 s. Returns what ends it. */
export function sweepEdge(ports: Ports): () => void {
  const sweep = () =>
    void fetch(`http://127.0.0.1:${ports.edge}/cdn-cgi/handler/scheduled`, {
      signal: AbortSignal.timeout(SWEEP_MS),
    }).catch(() => undefined) // the edge is down for now; its supervisor says so
  const timer = setInterval(sweep, SWEEP_MS)
  return () => clearInterval(timer)
}
