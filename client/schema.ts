import { z } from 'zod'
import { claimMessage } from '#protocol/claim.ts'
import { RECEIPT_STATUSES } from '#protocol/receipt.ts'
import { revocationReason } from '#protocol/revocations.ts'
import { explanation, keptTexts } from '#protocol/generation.ts'
import {
  address,
  bytes32,
  decimal,
  loraMethod,
  recordFields,
  signedReceipt,
} from '#protocol/wire.ts'

/** What the API answers, as far as this client uses it. Members that it does not name are dropped. */

const hexData = z
  .string()
  .regex(/^0x([0-9a-f]{2})*$/)
  .transform((text) => text as `0x${string}`)
const seconds = z.int()

export const list = <T extends z.ZodType>(item: T) =>
  z.object({ data: z.array(item), has_more: z.boolean(), last_id: z.string().nullable() })

export const challenge = z.object({
  nonce: z.string(),
  domain: z.string(),
  uri: z.string(),
  chain_id: z.int(),
})

export const login = z.object({ account: z.string(), address, api_key: z.string() })
export type Login = z.infer<typeof login>

export const account = z.object({
  id: z.string(),
  address,
  balance: z.object({ deposited: decimal, pending: decimal, held: decimal, available: decimal }),
})
export type Account = z.infer<typeof account>

export const datanet = z.object({
  id: z.string(),
  name: z.string(),
  slug: z.string(),
  licence: z.string(),
  /** Columns that make a record, where the usual names do not. */
  schema: z.record(z.string(), z.string()).nullable(),
  profile: z.record(z.string(), z.unknown()),
  owner: address,
  status: z.enum(['pending', 'registered', 'failed']),
  error: z.string().nullish(),
})
export type Datanet = z.infer<typeof datanet>

const fault = z.object({
  row: z.int().optional(),
  field: z.string().optional(),
  detail: z.string(),
})

export const accepted = z.object({ id: z.string(), sha256: bytes32 })

export const contribution = z.object({
  id: z.string(),
  status: z.enum(['received', 'processing', 'needs_anchor', 'anchored', 'rejected', 'failed']),
  sha256: bytes32,
  errors: z.array(fault).nullable(),
  counts: z
    .object({
      rows: z.int(),
      accepted: z.int(),
      needs_review: z.int(),
      rejected: z.int(),
      reasons: z.record(z.string(), z.int()),
    })
    .nullable(),
  batch: z
    .object({ id: bytes32, root: bytes32, records: z.int(), tx: bytes32.nullable() })
    .nullable(),
})
export type Contribution = z.infer<typeof contribution>

export const withdrawal = z.object({
  contribution: z.string(),
  records: z.int(),
  added: z.int(),
  entries: z.int(),
  head: bytes32,
})
export type Withdrawal = z.infer<typeof withdrawal>

export const verdict = z.object({
  row: z.int(),
  record: bytes32.nullable(),
  verdict: z.enum(['accepted', 'needs_review', 'rejected']),
  novelty: z.number(),
  reasons: z.array(z.string()),
  detail: z.string().nullable(),
  revoked: revocationReason.nullable(),
})
export type RecordVerdict = z.infer<typeof verdict>

export const version = z.object({
  id: z.string(),
  version: z.int().positive(),
  status: z.enum(['building', 'publishing', 'published', 'failed']),
  root: bytes32.nullable(),
  manifest: bytes32.nullable(),
  records: z.int().nullable(),
  tx: bytes32.nullable(),
  error: z.string().nullable(),
})
export type Version = z.infer<typeof version>

export const row = z.object({
  record: bytes32,
  cluster: bytes32,
  contributor: address,
  fields: recordFields,
})
export type Row = z.infer<typeof row>

const modelDetails = z.object({
  kind: z.enum(['base', 'adapter']),
  digest: bytes32,
  base_digest: bytes32,
  adapter: z
    .object({
      job_id: z.string(),
      manifest: bytes32,
      index_root: bytes32,
      datanets: z.array(z.object({ id: z.string(), version: z.int() })),
    })
    .nullable(),
})
/** A model in the list, which does not ask the chain for prices. */
export const listedModel = z.object({ id: z.string(), openledger: modelDetails })
export type ListedModel = z.infer<typeof listedModel>
export const model = listedModel.extend({
  openledger: modelDetails.extend({ price_per_token: decimal }),
})
export type Model = z.infer<typeof model>

export const job = z.object({
  id: z.string(),
  object: z.literal('fine_tuning.job'),
  model: z.string(),
  status: z.enum([
    'validating_files',
    'queued',
    'running',
    'paused',
    'succeeded',
    'failed',
    'cancelled',
  ]),
  fine_tuned_model: z.string().nullable(),
  created_at: seconds,
  finished_at: seconds.nullish(),
  error: z.object({ message: z.string(), code: z.string().nullish() }).nullish(),
  openledger: z.object({
    /** What it is doing, and how far it is with that, 0..1. */
    phase: z.string().nullable(),
    progress: z.number().nullable(),
    attempts: z.int(),
  }),
})
export type Job = z.infer<typeof job>

export const jobEvent = z.object({
  id: z.string(),
  created_at: seconds,
  level: z.enum(['info', 'warn', 'error']),
  message: z.string(),
  type: z.string().optional(),
  data: z
    .object({
      step: z.int().optional(),
      totalSteps: z.int().optional(),
      loss: z.number().optional(),
      validationLoss: z.number().optional(),
      learningRate: z.number().optional(),
      tokensPerSecond: z.number().optional(),
      etaSeconds: z.number().optional(),
    })
    .nullish(),
})
export type JobEvent = z.infer<typeof jobEvent>

/** What a job would take. */
export const estimate = z.object({
  records: z.int(),
  training_records: z.int(),
  tokens: z.int(),
  steps: z.int(),
  seconds: z.int().nullable(),
  memory: z
    .object({
      bytes: z.number(),
      with_recompute_bytes: z.number(),
      available_bytes: z.number(),
    })
    .nullable(),
  registration_fee: decimal,
  basis: z.string(),
})
export type Estimate = z.infer<typeof estimate>

/** Rows as training sees them. */
export const preview = z.object({
  sequence_length: z.int(),
  data: z.array(
    z.object({
      row: z.int(),
      tokens: z.int(),
      trained_tokens: z.int(),
      truncated: z.boolean(),
      spans: z.array(
        z.object({ text: z.string(), tokens: z.int(), trained: z.boolean(), cut: z.boolean() }),
      ),
    }),
  ),
  refused: z.array(z.object({ row: z.int(), code: z.string(), detail: z.string() })),
  totals: z.object({
    rows: z.int(),
    tokens: z.int(),
    trained_tokens: z.int(),
    truncated: z.int(),
    empty: z.int(),
    longest: z.int(),
  }),
})
export type Preview = z.infer<typeof preview>

/** Hyperparameters that a job may name; the rest are the defaults of protocol/wire.ts. */
export type Hyperparameters = Partial<z.input<typeof loraMethod>>

const usage = z.object({ prompt_tokens: z.int(), completion_tokens: z.int() })
const openledger = z.object({
  receipt_id: z.string(),
  adapter_digest: bytes32.nullable(),
  attribution: explanation.partial().nullish(),
})

export const completion = z.object({
  id: z.string(),
  model: z.string(),
  system_fingerprint: z.string().nullish(),
  choices: z
    .array(
      z.object({
        message: z.object({ role: z.literal('assistant'), content: z.string() }),
        finish_reason: z.string(),
      }),
    )
    .length(1),
  usage,
  openledger,
})

const completionChunk = z.object({
  id: z.string(),
  model: z.string(),
  system_fingerprint: z.string().nullish(),
  choices: z.array(
    z.object({
      delta: z.object({ content: z.string().nullish() }),
      finish_reason: z.string().nullish(),
    }),
  ),
  usage: usage.nullish(),
  openledger: openledger.nullish(),
})
/** What ends a stream that fails after its first byte, in place of a chunk. */
const streamFailure = z.object({ error: z.object({ message: z.string() }) })
export const streamEvent = z.union([streamFailure, completionChunk])

/** An answer with what it cost and who shaped it. */
export type Answer = {
  model: string
  text: string
  finishReason: string
  promptTokens: number
  completionTokens: number
  /** Digest of the model that answered. */
  fingerprint: string | null
  receiptId: string
  attribution: z.infer<typeof openledger>['attribution']
}

export const receiptView = signedReceipt.extend({
  id: z.string(),
  status: z.enum(RECEIPT_STATUSES),
  epoch: z.int().nullable(),
  tx_hash: bytes32.nullable(),
  explanation: explanation.optional(),
})
export type ReceiptView = z.infer<typeof receiptView>

export const texts = keptTexts.extend({ id: z.string() })
export type Texts = z.infer<typeof texts>

export const receiptProof = z.object({
  epoch: z.int().positive(),
  index: z.int().min(0),
  spent: decimal,
  leaf: bytes32,
  proof: z.array(bytes32),
  root: bytes32,
})
export type ReceiptProof = z.infer<typeof receiptProof>

export const rewards = z.object({
  cumulative: decimal,
  claimed: decimal,
  claimable: decimal,
  pending: decimal,
  epoch: z.int(),
  proof: z.array(bytes32),
  claim: z.object({ to: address, data: hexData }).nullable(),
})
export type Rewards = z.infer<typeof rewards>

/** What to sign so that a claim is sent without gas of one's own. */
export const claimQuote = z.object({
  claimable: decimal,
  fee: decimal,
  typed_data: z.object({ message: claimMessage }),
})
export type ClaimQuote = z.infer<typeof claimQuote>

export const relayedClaim = z.object({
  id: z.string(),
  fee: decimal,
  status: z.enum(['queued', 'sent', 'safe', 'final', 'failed']),
  tx_hash: bytes32.nullable(),
  reason: z.string().nullable(),
  error: z.string().nullable(),
})
export type RelayedClaim = z.infer<typeof relayedClaim>

export const reconciliation = z.object({
  balanced: z.boolean(),
  epoch: z.int(),
  ledger: z.object({ epochs: z.int(), drawn: decimal, credited: decimal }),
  chain: z.object({ last_epoch: z.int(), drawn: decimal, claimed: decimal, balance: decimal }),
  differences: z.record(z.string(), z.unknown()),
  settlement: z.object({ waiting: z.int(), error: z.string().nullable() }),
})
export type Reconciliation = z.infer<typeof reconciliation>
