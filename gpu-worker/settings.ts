/** The worker's settings, all from the environment. */
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { WEIGHT_FORMATS } from '#engine/quant.ts'
import { address, bytes32 } from '#protocol/wire.ts'

const EMBEDDED_MODEL = new URL('models/openledger-5m', import.meta.url).pathname
const httpUrl = z
  .url({ protocol: /^https?$/, error: 'expected an http(s) URL' })
  .transform((url) => url.replace(/\/+$/, ''))

const contracts = z
  .string()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text)
    } catch {
      context.addIssue({ code: 'custom', message: 'expected JSON' })
      return z.NEVER
    }
  })
  .pipe(z.object({ parameters: address, modelRegistry: address, attributionSettlement: address }))

const schema = z.object({
  /** Where the edge is. */
  EDGE_URL: httpUrl,
  /** Bearer token shared with the edge, both ways. */
  WORKER_TOKEN: z.string().min(16, 'expected at least 16 characters'),
  /** Private key that signs receipts. */
  WORKER_KEY: bytes32,
  /** How the edge reaches this worker. */
  WORKER_URL: httpUrl,
  RPC_URL: httpUrl,
  CHAIN_ID: z.coerce.number().int().positive(),
  CONTRACTS: contracts,
  PORT: z.coerce.number().int().min(0).max(65_535).default(8790),
  STATE_DIR: z.string().min(1),
  MODEL_DIR: z.string().min(1).default(EMBEDDED_MODEL),
  /** How the base's matrices are held to serve it: 8 or 4 bits take less memory, and a lone answer less time. */
  BASE_FORMAT: z.enum(WEIGHT_FORMATS).default('f32'),
  /** Digests of adapters that are loaded at the start and never evicted, with commas between. */
  PINNED_ADAPTERS: z
    .string()
    .default('')
    .transform((text) => text.split(/[\s,]+/).filter((digest) => digest !== ''))
    .pipe(z.array(bytes32)),
  /** What compares the meaning of records: the directory of an ONNX model, `base` (the base model), or `off`. */
  EMBEDDER: z.string().min(1).default('off'),
  DEVICE: z.enum(['auto', 'cpu', 'webgpu', 'cuda']).default('auto'),
  /** How often a training job stores a checkpoint. */
  CHECKPOINT_SECONDS: z.coerce.number().positive().default(10),
  /** Threads per operator; by default as many as this process may use, which a container limits. */
  THREADS: z.coerce.number().int().positive().default(availableParallelism()),
})

export type Settings = z.infer<typeof schema>

/** Parses the environment; throws an Error that names every setting that is missing or wrong, never its value. */
export function parseSettings(env: Record<string, string | undefined>): Settings {
  const present = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const parsed = schema.safeParse(present)
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map(({ path, message }) => {
    const name = String(path[0])
    return present[name] === undefined ? `${name} is not set` : `${path.join('.')}: ${message}`
  })
  throw new Error(`gpu-worker settings:\n  ${faults.join('\n  ')}`)
}
