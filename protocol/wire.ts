import { z } from 'zod'
import { lowerCase, type Hex } from './bytes.ts'
import { MAX_DIMENSIONS, type InfluenceRow } from './influence-row.ts'
import type { Receipt } from './receipt.ts'

/** Schemas of what edge, gpu-worker, clients and webhooks say to each other. Parsed at every boundary, nowhere else. */

/** `0x` hex of exactly n bytes, normalised to lower case: hashes and addresses are compared as strings. */
export const hex = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-fA-F]{${bytes * 2}}$`), `expected 0x and ${bytes * 2} hex digits`)
    .transform((text) => lowerCase(text as Hex))

export const bytes32 = hex(32)
export const address = hex(20)

/** A non-negative integer as a decimal string: money and other bigints on the wire. */
export const decimal = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,77})$/, 'expected a decimal integer')
  .transform(BigInt)
export const signedDecimal = z
  .string()
  .regex(/^(0|-?[1-9][0-9]{0,18})$/, 'expected a decimal integer')
  .transform(BigInt)

export const uint32 = z.int().min(0).max(0xffff_ffff)

/** Rows of a shortlist, at most: twice the upper bound of `attribution.topK`. */
const MAX_ROWS = 100
/** Records that may be retrieved for an answer. */
export const MAX_CITATIONS = 32
const MAX_QUERY_CHARS = 16_384
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** A query vector's bytes in base64. */
export const query = z.string().max(MAX_QUERY_CHARS).regex(BASE64, 'expected base64')

/** Receipts as JSON: bigints are decimal strings, times are Unix seconds. */
export const receipt = z.object({
  requestId: bytes32,
  payer: address,
  base: bytes32,
  adapter: bytes32,
  indexRoot: bytes32,
  datanets: z.array(bytes32).max(64),
  paramsHash: bytes32,
  methodVersion: uint32,
  promptHash: bytes32,
  outputHash: bytes32,
  outputRoot: bytes32,
  outputTokens: uint32,
  queryHash: bytes32,
  promptTokens: uint32,
  completionTokens: uint32,
  fee: decimal,
  platform: decimal,
  model: decimal,
  stakers: decimal,
  retrieval: decimal,
  modelOwner: address,
  covered: decimal,
  total: decimal,
  floor: decimal,
  rows: z
    .array(
      z.object({
        cluster: bytes32,
        record: bytes32,
        contributor: address,
        influence: signedDecimal,
        significance: signedDecimal,
        text: decimal,
        spans: z
          .array(z.object({ outputStart: uint32, recordStart: uint32, length: uint32 }))
          .max(64),
        amount: decimal,
      }),
    )
    .max(MAX_ROWS),
  unattributed: decimal,
  citations: z
    .array(
      z.object({
        cluster: bytes32,
        record: bytes32,
        contributor: address,
        datanet: bytes32,
        amount: decimal,
      }),
    )
    .max(MAX_CITATIONS),
  stored: z.boolean(),
  worker: address,
  time: decimal,
}) satisfies z.ZodType<Receipt, unknown>

export const signedReceipt = z.object({ receipt, signature: hex(65), query })

/** index/rows.json of an adapter: the rows of its influence index, in the order of their vectors of `dims` numbers. */
export const indexRowsFile = z.object({
  format: z.literal('openledger-index-rows-1'),
  dims: z.int().positive().max(MAX_DIMENSIONS),
  rows: z.array(
    z.object({
      record: bytes32,
      cluster: bytes32,
      contributor: address,
      vectorHash: bytes32,
      exponent: z.int().min(-0x8000).max(0x7fff),
      nullMean: signedDecimal,
      nullDeviation: decimal,
      self: decimal,
      tokensRoot: bytes32,
      tokens: z.int().min(0),
    }) satisfies z.ZodType<InfluenceRow, unknown>,
  ),
})

/** A file in the content-addressed store. */
export const blobRef = z.object({ sha256: bytes32, bytes: z.int().min(0) })
export type BlobRef = z.infer<typeof blobRef>

/** What a record says, after sanitizing. */
export const recordFields = z.union([
  z.object({
    messages: z
      .array(z.object({ role: z.enum(['system', 'user', 'assistant']), content: z.string() }))
      .min(1),
  }),
  z.object({ prompt: z.string(), completion: z.string() }),
  z.object({ text: z.string() }),
])
export type RecordFields = z.infer<typeof recordFields>

/** A row of a Datanet version's Parquet shards; `fields` is canonical JSON of RecordFields, `metadata` of an object. */
export const versionRow = z.object({
  record: bytes32,
  cluster: bytes32,
  contributor: address,
  fields: z.string(),
  metadata: z.string(),
})
export type VersionRow = z.infer<typeof versionRow>

/** An immutable Datanet version: manifest.json, stored under its own hash. `root` is on chain. */
export const datanetManifest = z.object({
  format: z.literal('openledger-datanet-1'),
  datanet: z.string(),
  name: z.string(),
  version: z.int().positive(),
  parent: bytes32.nullable(),
  licence: z.string(),
  pipelineHash: bytes32,
  root: bytes32,
  records: z.int().min(0),
  reasons: z.record(z.string(), z.int().min(0)),
  contributors: z.array(z.object({ contributor: address, records: z.int(), clusters: z.int() })),
  shards: z.array(blobRef.extend({ records: z.int().positive() })),
  createdAt: z.string(),
})
export type DatanetManifest = z.infer<typeof datanetManifest>

/** The linear layers that a LoRA job may adapt, by the names that PEFT's `target_modules` has for them. */
const TARGET_MODULES = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
] as const

/** Hyperparameters of a LoRA job, with the defaults a user gets who names none. */
export const loraMethod = z.object({
  rank: z.int().min(1).max(64).default(8),
  alpha: z.number().positive().max(1024).default(16),
  learningRate: z.number().positive().max(1).default(2e-3),
  epochs: z.number().positive().max(100).default(2),
  batchSize: z.int().min(1).max(256).default(8),
  sequenceLength: z.int().min(16).max(1024).default(128),
  warmupRatio: z.number().min(0).max(0.5).default(0.05),
  weightDecay: z.number().min(0).max(1).default(0),
  clipNorm: z.number().positive().default(1),
  validationFraction: z.number().min(0).max(0.5).default(0.05),
  seed: z.int().min(0).max(0xffff_ffff).default(1),
  targetModules: z
    .array(z.enum(TARGET_MODULES))
    .min(1)
    .max(TARGET_MODULES.length)
    .default([...TARGET_MODULES]),
  /** Probability that training hides an input feature of a token from the adapter. */
  dropout: z.number().min(0).max(0.9).default(0),
  /** Scale by alpha / sqrt(rank) instead of alpha / rank. */
  rslora: z.boolean().default(false),
  /** How the learning rate goes on after the warm-up. */
  schedule: z.enum(['cosine', 'linear', 'constant']).default('cosine'),
  /** Batches whose gradients make up one step. */
  gradientAccumulation: z.int().min(1).max(64).default(1),
  /** Validations in a row without improvement after which training ends. */
  patience: z.int().min(1).max(100).default(3),
  /** How the frozen base is held while training (QLoRA); none is float32. */
  quantization: z.enum(['none', 'int8', 'int4']).default('none'),
  /** Compute layers twice instead of keeping their activations. */
  recompute: z.boolean().default(false),
})
export type LoraMethod = z.infer<typeof loraMethod>

/** A fine-tuning job, frozen when it is created: the same manifest always trains the same adapter. */
export const jobManifest = z.object({
  jobId: z.string(),
  owner: address,
  slug: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
  base: z.object({ name: z.string(), digest: bytes32 }),
  datanets: z
    .array(
      z.object({ id: z.string(), version: z.int().positive(), root: bytes32, manifest: bytes32 }),
    )
    .min(1)
    .max(64),
  method: loraMethod,
})
export type JobManifest = z.infer<typeof jobManifest>

/** Files of an adapter: PEFT's two, then the attribution index. */
export const ADAPTER_FILES = [
  'adapter_model.safetensors',
  'adapter_config.json',
  'index/rows.json',
  'index/vectors.i8',
  'index/landmarks.i8',
  'index/projection.safetensors',
  'index/spans.bin',
] as const

/** Everything about a trained adapter, stored under its own hash; digest, indexRoot and this hash are on chain. */
export const adapterManifest = z.object({
  format: z.literal('openledger-adapter-1'),
  digest: bytes32,
  base: z.object({ name: z.string(), digest: bytes32 }),
  owner: address,
  slug: z.string(),
  jobId: z.string(),
  datanets: jobManifest.shape.datanets,
  indexRoot: bytes32,
  files: z.record(z.enum(ADAPTER_FILES), blobRef),
  training: z.object({
    steps: z.int(),
    tokens: z.int(),
    initialValidationLoss: z.number(),
    validationLoss: z.number(),
  }),
})
export type AdapterManifest = z.infer<typeof adapterManifest>

/** How busy a gpu-worker is, and which adapters it has in memory. */
const workerLoad = z.object({
  /** Requests that it generates at once. */
  capacity: z.int().min(0),
  active: z.int().min(0),
  waiting: z.int().min(0),
  /** Adapter digests, the most recently used first; not all of them when they are many. */
  resident: z.array(bytes32).max(256),
  /** It finishes what it has and takes nothing new. */
  draining: z.boolean(),
})
export type WorkerLoad = z.infer<typeof workerLoad>

/** What of a model's shape decides how much memory its training takes. */
const modelShape = z.object({
  hidden: z.int().positive(),
  layers: z.int().positive(),
  heads: z.int().positive(),
  kvHeads: z.int().positive(),
  headDim: z.int().positive(),
  ffn: z.int().positive(),
  vocab: z.int().positive(),
  tied: z.boolean(),
})
export type ModelShape = z.infer<typeof modelShape>

/** gpu-worker -> edge: who I am. The bearer token admits; the address is the key that signs receipts. */
export const workerHello = z.object({
  address,
  url: z.url({ protocol: /^https?$/ }),
  device: z.string().max(200),
  bases: z
    .array(
      z.object({
        name: z.string(),
        digest: bytes32,
        contextLength: z.int().positive(),
        /** What tells how much memory training the base takes here, and how much there is. */
        training: z.object({ shape: modelShape, memoryBytes: z.int().positive() }).optional(),
      }),
    )
    .min(1),
  load: workerLoad.optional(),
})
export type WorkerHello = z.infer<typeof workerHello>

/** edge -> gpu-worker: a job to run until the lease ends unless a heartbeat extends it. */
export const lease = z.object({
  leaseId: z.string(),
  expiresAt: z.string(),
  job: jobManifest,
  /** Latest checkpoint of an earlier attempt, to resume from. */
  checkpoint: blobRef.nullable(),
})
export type Lease = z.infer<typeof lease>

export const jobPhase = z.enum(['preparing', 'training', 'indexing', 'uploading'])

/** gpu-worker -> edge with every heartbeat: what happened since the last one. */
export const jobProgress = z.object({
  phase: jobPhase,
  /** 0..1 within the phase. */
  done: z.number().min(0).max(1),
  events: z
    .array(
      z.object({
        at: z.string(),
        level: z.enum(['info', 'warn', 'error']).default('info'),
        message: z.string().max(2000),
        metrics: z
          .object({
            step: z.int(),
            totalSteps: z.int(),
            loss: z.number().optional(),
            validationLoss: z.number().optional(),
            learningRate: z.number().optional(),
            tokensPerSecond: z.number().optional(),
            etaSeconds: z.number().optional(),
          })
          .optional(),
      }),
    )
    .max(1000),
  checkpoint: blobRef.optional(),
})
export type JobProgress = z.infer<typeof jobProgress>

/** edge -> gpu-worker in answer to a heartbeat. */
export const heartbeatReply = z.object({ expiresAt: z.string(), cancelled: z.boolean() })

/** gpu-worker -> edge: the job is done; the manifest's files are already in the store. */
export const jobResult = z.object({ manifest: blobRef })
export const jobFailure = z.object({ message: z.string().max(4000), retryable: z.boolean() })
