import { z } from 'zod'
import type { Hex } from './bytes.ts'
import { MAX_DIMENSIONS, type InfluenceRow } from './influence-row.ts'
import type { Receipt } from './receipt.ts'

/** Schemas of what edge, gpu-worker, clients and webhooks say to each other. Parsed at every boundary, nowhere else. */

/** `0x` hex of exactly n bytes, normalised to lower case: hashes and addresses are compared as strings. */
export const hex = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-fA-F]{${bytes * 2}}$`), `expected 0x and ${bytes * 2} hex digits`)
    .transform((text) => text.toLowerCase() as Hex)

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
export const TARGET_MODULES = [
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
export const workerLoad = z.object({
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
export const modelShape = z.object({
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

export const chatMessage = z.object({
  role: z.enum(['system', 'user', 'assistant']),
  content: z.string(),
})

/** What a model is asked. */
export const modelInput = z.union([
  z.object({ messages: z.array(chatMessage).min(1) }),
  z.object({ prompt: z.string() }),
])

/** edge -> gpu-worker: generate an answer, attribute it, sign the receipt. */
export const generateRequest = z.object({
  requestId: bytes32,
  payer: address,
  base: bytes32,
  /** Adapter digest and the hash of its manifest; absent for the bare base. */
  adapter: z.object({ digest: bytes32, manifest: bytes32 }).optional(),
  input: modelInput,
  /** Whether the texts are kept for validators; the receipt says so. */
  store: z.boolean().default(true),
  /** Whether the explanation tells the sentences apart. */
  sentences: z.boolean().default(false),
  /** Records of these Datanet versions are looked for and quoted to the model before the messages. */
  retrieval: z
    .object({
      versions: jobManifest.shape.datanets,
      topK: z.int().min(1).max(MAX_CITATIONS),
    })
    .optional(),
  maxTokens: z.int().min(1),
  temperature: z.number().min(0).max(2).default(1),
  topP: z.number().gt(0).max(1).default(1),
  topK: z.int().min(0).default(0),
  seed: z.int().min(0).max(0xffff_ffff).optional(),
  stop: z.array(z.string().min(1)).max(4).default([]),
  minP: z.number().min(0).max(1).optional(),
  repetitionPenalty: z.number().positive().max(10).optional(),
  frequencyPenalty: z.number().min(-2).max(2).optional(),
  presencePenalty: z.number().min(-2).max(2).optional(),
  /** Added to logits, by token id. */
  logitBias: z.record(z.string().regex(/^\d{1,9}$/), z.number().min(-100).max(100)).optional(),
  /** Number of likeliest alternatives told with every token's log-probability; absent: none are told. */
  logprobs: z.int().min(0).max(20).optional(),
})
export type GenerateRequest = z.infer<typeof generateRequest>

/** Has a worker end an answer with what it has: its caller has gone. */
export const finishRequest = z.object({ requestId: bytes32 })
export const finishAnswer = z.object({ finishing: z.boolean() })

/** Where a paid record shows up in the answer; offsets are UTF-16 code units of the output text. */
export const explanation = z.object({
  rows: z.array(
    z.object({
      record: bytes32,
      contributor: address,
      /** Parts per million of the contributor pool. */
      share: z.int().min(0),
      snippet: z.string(),
      /** Where the snippet holds words of the answer; offsets in the snippet. */
      highlights: z.array(z.object({ start: z.int(), end: z.int() })),
      spans: z.array(z.object({ start: z.int(), end: z.int(), text: z.string() })),
    }),
  ),
  /** Parts per million of the contributor pool that went to the base pool. */
  unattributed: z.int().min(0),
  attributionMs: z.number(),
  /** The records of most influence on each sentence, at offsets of the output text; absent unless asked for. */
  sentences: z
    .array(
      z.object({
        start: z.int(),
        end: z.int(),
        rows: z.array(
          z.object({
            record: bytes32,
            contributor: address,
            /** Parts per million of the influence of these rows. */
            share: z.int().min(0),
            /** Thousandths of a null deviation. */
            significance: z.int(),
          }),
        ),
      }),
    )
    .optional(),
  /** What was quoted to the model, in the order of the receipt's citations; absent when nothing was. */
  citations: z
    .array(
      z.object({
        record: bytes32,
        contributor: address,
        datanet: z.string(),
        version: z.int(),
        text: z.string(),
      }),
    )
    .optional(),
})
export type Explanation = z.infer<typeof explanation>

/** What is kept of a request for the challenge window, so that its gradient can be computed again. */
export const keptTexts = z.object({
  input: modelInput,
  output: z.string(),
  /** Token ids of `output`, as they were drawn: tokenizing it again may give others. */
  tokens: z.array(uint32),
})
export type KeptTexts = z.infer<typeof keptTexts>

const tokenLogprob = z.object({ token: z.string(), logprob: z.number() })
/** A token of the answer, with its likeliest alternatives; natural logarithms. */
export const tokenLogprobs = tokenLogprob.extend({ top: z.array(tokenLogprob).max(20) })
export type TokenLogprobs = z.infer<typeof tokenLogprobs>

export const generateError = z.object({
  type: z.literal('error'),
  code: z.string(),
  message: z.string(),
  /** Seconds after which to ask again; only when too many requests wait. */
  retryAfter: z.int().positive().optional(),
})

/** gpu-worker -> edge: one JSON object a line, in this order: tokens, end, receipt; or an error at any point. */
export const generateEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('token'),
    text: z.string(),
    /** Of the tokens that begin in this text, when they were asked for. */
    logprobs: z.array(tokenLogprobs).optional(),
  }),
  z.object({
    type: z.literal('end'),
    finishReason: z.enum(['stop', 'length']),
    promptTokens: uint32,
    completionTokens: uint32,
  }),
  signedReceipt.extend({
    type: z.literal('receipt'),
    explanation,
    /** Token ids of the answer's text. */
    tokens: z.array(uint32),
    /** What the model read, when records were quoted to it: the receipt's `promptHash` is of this. */
    input: modelInput.optional(),
  }),
  generateError,
])
export type GenerateEvent = z.infer<typeof generateEvent>
