import type { LocalAccount } from 'viem'
import { createSiweMessage } from 'viem/siwe'
import { z } from 'zod'
import { toJson, type Hex } from '#protocol/bytes.ts'
import { claimJson, type SignedClaim } from '#protocol/claim.ts'
import type { ExportFormat } from '#protocol/export.ts'
import { MAX_WITHDRAWN } from '#protocol/revocations.ts'
import { ApiError, createHttp, type HttpOptions } from './http.ts'
import * as schema from './schema.ts'
import { readEvents } from './sse.ts'

export { ApiError } from './http.ts'
export type {
  Account,
  Answer,
  ClaimQuote,
  Contribution,
  Datanet,
  Job,
  JobEvent,
  ReceiptView,
  RelayedClaim,
  Rewards,
  Version,
} from './schema.ts'

/** What every contribution has to say about itself. */
export type Metadata = { source: string; intended_use: string; licence: string; context: string }

export type ContentType =
  | 'application/x-ndjson'
  | 'application/json'
  | 'text/csv'
  | 'text/tab-separated-values'
  | 'text/plain'
  | 'text/markdown'

export type DatanetRequest = {
  name: string
  slug?: string
  description: string
  licence: string
  domain: string
  licences?: string[]
  /** Columns that make a record, where the usual names do not. */
  schema?: Record<string, string>
  profile?: Record<string, unknown>
}

export type JobRequest = {
  model: string
  datanets: { id: string; version: number }[]
  suffix: string
  hyperparameters?: schema.Hyperparameters
  seed?: number
}

export type PreviewRequest = {
  model: string
  hyperparameters?: schema.Hyperparameters
} & (
  | { datanet: { id: string; version: number }; limit?: number; after?: number }
  | { rows: Record<string, unknown>[]; columns?: Record<string, string> }
)

export type ChatRequest = {
  model: string
  messages: { role: 'system' | 'user' | 'assistant'; content: string }[]
  max_tokens?: number
  temperature?: number
  top_p?: number
  seed?: number
  /** false: nothing of the texts is kept. */
  store?: boolean
  stop?: string[]
  attribution?: 'sentences' | 'full' | 'summary' | 'none'
}

export type WithdrawalRequest = {
  records: readonly Hex[]
  /** Signs `withdrawalTypedData` of protocol/revocations.ts. */
  sign: (records: readonly Hex[]) => Promise<Hex>
  note?: string | undefined
}

const ENDED = ['succeeded', 'failed', 'cancelled']
const LIST_LIMIT = 100
const RECONNECT_MS = 500

/** Signs a wallet in (EIP-4361) and returns its account and a new API key. */
export async function logIn(options: HttpOptions, wallet: LocalAccount): Promise<schema.Login> {
  const http = createHttp(options)
  const { chain_id: chainId, ...rest } = await http.json(
    'POST',
    '/v1/auth/nonce',
    schema.challenge,
    {
      json: { address: wallet.address },
    },
  )
  const message = createSiweMessage({ address: wallet.address, version: '1', chainId, ...rest })
  const signature = await wallet.signMessage({ message })
  return http.json('POST', '/v1/auth/login', schema.login, { json: { message, signature } })
}

const datanetPath = (id: string) => `/v1/datanets/${id}`
const jobPath = (id: string) => `/v1/fine_tuning/jobs/${id}`
const modelPath = (name: string) => `/v1/models/${encodeURIComponent(name)}`

const methodBody = (hyperparameters: schema.Hyperparameters = {}) => ({
  type: 'lora',
  lora: { hyperparameters },
})
const jobBody = ({ hyperparameters, ...request }: JobRequest) => ({
  ...request,
  method: methodBody(hyperparameters),
})

export type Client = ReturnType<typeof createClient>

/** The API of one account. Every call throws ApiError when it is refused. */
export function createClient(options: HttpOptions) {
  const { send, json } = createHttp(options)

  /** Every item of a list, page by page. */
  async function* all<T>(path: string, item: z.ZodType<T, unknown>, query = {}): AsyncGenerator<T> {
    for (let after: string | undefined; ;) {
      const page = await json('GET', path, schema.list(item), {
        query: { ...query, limit: LIST_LIMIT, after },
      })
      yield* page.data
      if (!page.has_more || page.last_id === null) return
      after = page.last_id
    }
  }

  const job = (id: string) => json('GET', jobPath(id), schema.job)

  return {
    account: () => json('GET', '/v1/account', schema.account),

    createDatanet: (request: DatanetRequest) =>
      json('POST', '/v1/datanets', schema.datanet, { json: request }),
    datanet: (id: string) => json('GET', datanetPath(id), schema.datanet),
    datanets: () => all('/v1/datanets', schema.datanet),

    /** Hands in records as a file; they are judged and anchored afterwards. */
    contribute: (
      datanetId: string,
      file: {
        body: string | Uint8Array<ArrayBuffer>
        type: ContentType
        metadata: Metadata
        /** Idempotency-Key; a new one when absent. */
        key?: string
      },
    ) =>
      json('POST', `${datanetPath(datanetId)}/contributions`, schema.accepted, {
        body: file.body,
        headers: { 'content-type': file.type, ...(file.key && { 'idempotency-key': file.key }) },
        query: file.metadata,
      }),
    contribution: (id: string) => json('GET', `/v1/contributions/${id}`, schema.contribution),
    /** Takes records of a contribution back as its contributor's wallet signs it; cannot be undone. Answers what came of each part. */
    async *withdraw(
      id: string,
      { records, note, sign }: WithdrawalRequest,
    ): AsyncGenerator<schema.Withdrawal> {
      for (let i = 0; i < records.length; i += MAX_WITHDRAWN) {
        const part = records.slice(i, i + MAX_WITHDRAWN)
        yield await json('POST', `/v1/contributions/${id}/withdrawal`, schema.withdrawal, {
          json: { records: part, signature: await sign(part), ...(note !== undefined && { note }) },
        })
      }
    },
    /** Verdicts of a contribution's records in row order: all, or those of one kind. */
    verdicts: (id: string, verdict?: schema.RecordVerdict['verdict']) =>
      all(`/v1/contributions/${id}/records`, schema.verdict, { verdict }),

    publishVersion: (datanetId: string) =>
      json('POST', `${datanetPath(datanetId)}/versions`, schema.version, { json: {} }),
    version: (datanetId: string, number: number) =>
      json('GET', `${datanetPath(datanetId)}/versions/${number}`, schema.version),
    /** Versions of a Datanet, newest first. */
    versions: (datanetId: string) => all(`${datanetPath(datanetId)}/versions`, schema.version),
    /** Rows of a published version. */
    rows: (datanetId: string, number: number) =>
      all(`${datanetPath(datanetId)}/versions/${number}/rows`, schema.row),

    createJob: (request: JobRequest) =>
      json('POST', '/v1/fine_tuning/jobs', schema.job, { json: jobBody(request) }),
    /** What a job would take; creates nothing. */
    estimate: (request: JobRequest) =>
      json('POST', '/v1/fine_tuning/estimate', schema.estimate, { json: jobBody(request) }),
    /** The first rows of a version, or rows of one's own, as training sees them; creates nothing. */
    preview: ({ hyperparameters, ...request }: PreviewRequest) =>
      json('POST', '/v1/fine_tuning/preview', schema.preview, {
        json: { ...request, method: methodBody(hyperparameters) },
      }),
    job,
    /** The account's jobs, newest first. */
    jobs: () => all('/v1/fine_tuning/jobs', schema.job),
    cancelJob: (id: string) => json('POST', `${jobPath(id)}/cancel`, schema.job, { json: {} }),
    pauseJob: (id: string) => json('POST', `${jobPath(id)}/pause`, schema.job, { json: {} }),
    resumeJob: (id: string) => json('POST', `${jobPath(id)}/resume`, schema.job, { json: {} }),

    /** Bases, then adapters, by name. */
    models: () => all('/v1/models', schema.listedModel),
    /** A model by name. */
    model: (name: string) => json('GET', modelPath(name), schema.model),
    /** The model card of an adapter, as Markdown. */
    modelCard: async (name: string) => (await send('GET', `${modelPath(name)}/card`)).text(),
    /** An adapter of one's own as a zip; read the response's body. */
    downloadModel: (name: string, format: ExportFormat, signal?: AbortSignal) =>
      send('GET', `${modelPath(name)}/download`, {
        query: { format },
        ...(signal && { signal }),
      }),

    /** Live events of a job until it ends; goes on after the last one seen when the connection breaks. */
    async *jobEvents(id: string, signal?: AbortSignal): AsyncGenerator<schema.JobEvent> {
      let last: string | null = null
      for (;;) {
        try {
          const response = await send('GET', `${jobPath(id)}/events`, {
            headers: { accept: 'text/event-stream', ...(last && { 'last-event-id': last }) },
            ...(signal && { signal }),
          })
          for await (const event of readEvents(bodyOf(response))) {
            last = event.id ?? last
            if (event.data !== '[DONE]') yield schema.jobEvent.parse(JSON.parse(event.data))
          }
        } catch (error) {
          signal?.throwIfAborted()
          if (error instanceof ApiError || error instanceof z.ZodError) throw error
        }
        if (ENDED.includes((await job(id)).status)) return
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS))
      }
    },

    /** A whole answer. */
    async chat(request: ChatRequest): Promise<schema.Answer> {
      const body = await json('POST', '/v1/chat/completions', schema.completion, { json: request })
      return {
        model: body.model,
        text: body.choices[0]?.message.content ?? '',
        finishReason: body.choices[0]?.finish_reason ?? '',
        promptTokens: body.usage.prompt_tokens,
        completionTokens: body.usage.completion_tokens,
        fingerprint: body.system_fingerprint ?? null,
        receiptId: body.openledger.receipt_id,
        attribution: body.openledger.attribution,
      }
    },

    /** Yields an answer piece by piece and returns it whole. Throws when the stream ends without a receipt. */
    async *chatStream(request: ChatRequest): AsyncGenerator<string, schema.Answer> {
      const response = await send('POST', '/v1/chat/completions', {
        json: { ...request, stream: true, stream_options: { include_usage: true } },
      })
      const answer: Partial<schema.Answer> & { text: string } = { text: '' }
      for await (const { data } of readEvents(bodyOf(response))) {
        if (data === '[DONE]') break
        const chunk = schema.streamEvent.parse(JSON.parse(data))
        if ('error' in chunk) throw new Error(`the answer broke off: ${chunk.error.message}`)
        const [choice] = chunk.choices
        if (choice?.delta.content) {
          answer.text += choice.delta.content
          yield choice.delta.content
        }
        if (choice?.finish_reason) answer.finishReason = choice.finish_reason
        if (chunk.usage) {
          answer.promptTokens = chunk.usage.prompt_tokens
          answer.completionTokens = chunk.usage.completion_tokens
        }
        if (chunk.openledger) {
          answer.receiptId = chunk.openledger.receipt_id
          answer.attribution = chunk.openledger.attribution
        }
        answer.model = chunk.model
        answer.fingerprint = chunk.system_fingerprint ?? null
      }
      if (answer.receiptId === undefined) throw new Error('the stream ended without a receipt')
      return answer as schema.Answer
    },

    receipt: (id: string) => json('GET', `/v1/receipts/${id}`, schema.receiptView),
    /** Prompt and answer of a receipt, for its payer and for validators. */
    texts: (id: string, signal?: AbortSignal) =>
      json('GET', `/v1/receipts/${id}/texts`, schema.texts, { ...(signal && { signal }) }),
    receiptProof: (id: string) => json('GET', `/v1/receipts/${id}/proof`, schema.receiptProof),
    rewards: (address: Hex) => json('GET', `/v1/rewards/${address}`, schema.rewards),
    /** The claim to sign (protocol/claim.ts) so that the operator sends it, and the fee it takes for that. */
    claimQuote: (address: Hex) => json('GET', `/v1/rewards/${address}/claim`, schema.claimQuote),
    /** Hands a signed claim in; the same one again is the same claim. */
    relayClaim: ({ claim, signature }: SignedClaim) =>
      json('POST', '/v1/rewards/claims', schema.relayedClaim, {
        json: { claim: claimJson(claim), signature },
      }),
    relayedClaim: (id: string) => json('GET', `/v1/rewards/claims/${id}`, schema.relayedClaim),
    /** The ledger against the chain. */
    reconciliation: () => json('GET', '/v1/ledger/reconciliation', schema.reconciliation),
  }
}

function bodyOf(response: Response): ReadableStream<Uint8Array> {
  if (!response.body) throw new Error('the response has no body')
  return response.body
}

/** Reads until `done`, every `everyMs`; throws after `timeoutMs`, saying what was read last. */
export async function until<T>(
  read: () => Promise<T>,
  done: (value: T) => boolean,
  { timeoutMs = 60_000, everyMs = 250 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<T> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const value = await read()
    if (done(value)) return value
    if (Date.now() > deadline)
      throw new Error(`still not after ${timeoutMs / 1000} s: ${toJson(value)}`)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
