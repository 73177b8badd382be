import { join } from 'node:path'
import { CHAIN_ID } from './chain.ts'
import type { Contracts } from './deployment.ts'
import type { PartSpec } from './processes.ts'
import { ROOT, type Ports, type Secrets, type StateDirs } from './settings.ts'

const HEALTH_TIMEOUT_MS = 5_000

/** Folder of the base model that the stack serves and trains on. */
export const MODEL_DIR = process.env['MODEL_DIR'] ?? join(ROOT, 'gpu-worker/models/openledger-5m')

export type WorkerOptions = {
  dirs: StateDirs
  ports: Ports
  secrets: Secrets
  contracts: Contracts
}

/** The gpu-worker part. */
export function workerPart({ dirs, ports, secrets, contracts }: WorkerOptions): PartSpec {
  const url = `http://127.0.0.1:${ports.worker}`
  return {
    name: 'gpu-worker',
    command: process.execPath,
    args: [join(ROOT, 'gpu-worker/main.ts')],
    env: {
      EDGE_URL: `http://127.0.0.1:${ports.edge}`,
      WORKER_TOKEN: secrets.workerToken,
      WORKER_KEY: secrets.workerKey,
      WORKER_URL: url,
      RPC_URL: `http://127.0.0.1:${ports.chain}`,
      CHAIN_ID: String(CHAIN_ID),
      CONTRACTS: JSON.stringify(contracts),
      PORT: String(ports.worker),
      STATE_DIR: dirs.worker,
      MODEL_DIR,
      DEVICE: process.env['DEVICE'] ?? 'auto',
    },
    ports: [ports.worker],
    ready: async () => {
      const health = await fetch(`${url}/health`, {
        signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      })
      return health.ok
    },
  }
}
