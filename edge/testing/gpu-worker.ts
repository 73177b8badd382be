import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createTestClient, http, publicActions, walletActions } from 'viem'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import { lowerCase, toHex, toJson, type Hex } from '#protocol/bytes.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import type { Receipt, ReceiptDomain, SignedReceipt } from '#protocol/receipt.ts'
import {
  finishRequest,
  generateRequest,
  type Explanation,
  type GenerateEvent,
  type GenerateRequest,
} from '#protocol/generation.ts'
import type { Contracts } from '../../contracts/script/deploy.ts'
import { eventually, WORKER_TOKEN, type Edge } from './harness.ts'
import { receiptOf, sign, type Said } from './receipts.ts'

/** How the worker answers a request; every member has an honest default. */
export type Behaviour = {
  texts?: string[]
  /** Sent in the place of everything. */
  error?: { code: string; message: string }
  /** Refuses every request with this status, as a worker does whose queue is full. */
  refuses?: { status: 429 | 503; retryAfter: number }
  /** Changes the receipt before it is signed. */
  receipt?: (receipt: Receipt) => Receipt
  /** Changes it after. */
  signed?: (signed: SignedReceipt) => SignedReceipt
  /** Signs in the worker's place. */
  resign?: (receipt: Receipt) => Promise<SignedReceipt>
  /** Breaks the connection after so many texts. */
  dieAfter?: number
  /** Whether it says that it can end an answer early. */
  finishes?: boolean
  /** Runs before each text and before the end. */
  pause?: (sent: number) => Promise<void>
  /** Runs between the end and the receipt. */
  attribute?: () => Promise<void>
}

export type Terms = Pick<Said, 'modelOwner' | 'pricePerToken' | 'adapter' | 'citations' | 'values'>

export type GpuWorker = {
  url: string
  address: Hex
  key: Hex
  requests: GenerateRequest[]
  behave: (behaviour: Behaviour) => void
  stop: () => Promise<void>
}

export const PROMPT_TOKENS = 5
export const EXPLANATION: Explanation = {
  rows: [
    {
      record: toHex(new Uint8Array(32).fill(7)),
      contributor: toHex(new Uint8Array(20).fill(8)),
      share: 800_000,
      snippet: 'a record',
      highlights: [],
      spans: [{ start: 0, end: 5, text: 'Hello' }],
    },
  ],
  unattributed: 200_000,
  attributionMs: 3,
}

/** What a worker that retrieved says the model has read. */
export const QUOTED = { messages: [{ role: 'system' as const, content: 'a quoted record' }] }

/** A gpu-worker's HTTP side without a model: says what it is told to and signs real receipts for it. */
export async function startGpuWorker(
  domain: ReceiptDomain,
  terms: (request: GenerateRequest) => Terms,
): Promise<GpuWorker> {
  const key = generatePrivateKey()
  const address = lowerCase(privateKeyToAddress(key))
  const requests: GenerateRequest[] = []
  let behaviour: Behaviour = {}
  /** Requests whose answers are to end early. */
  const finished = new Set<Hex>()

  const answer = async (request: GenerateRequest, response: ServerResponse) => {
    const { texts: planned = ['Hello', ' world'], error, dieAfter, pause, attribute } = behaviour
    const send = (event: GenerateEvent) => response.write(line(event))
    if (error) return void response.end(line({ type: 'error', ...error }))
    const texts: string[] = []
    for (const [i, text] of planned.entries()) {
      await pause?.(i)
      if (i === dieAfter) return void response.destroy()
      if (finished.has(request.requestId)) break
      send({ type: 'token', text })
      texts.push(text)
    }
    if (!finished.has(request.requestId)) await pause?.(texts.length)
    if (response.destroyed) return
    const usage = { promptTokens: PROMPT_TOKENS, completionTokens: texts.length }
    send({ type: 'end', finishReason: 'stop', ...usage })
    if (dieAfter === texts.length) return void response.destroy()
    await attribute?.()
    const { requestId, payer, base } = request
    const tokens = texts.map((_, i) => i)
    const honest = receiptOf(
      {
        tokens,
        stored: request.store,
        requestId,
        payer,
        base,
        ...usage,
        output: texts.join(''),
        ...terms(request),
      },
      address,
    )
    const citations = honest.citations.map(({ record, contributor }) => ({
      record,
      contributor,
      datanet: request.retrieval?.versions[0]?.id ?? '',
      version: 1,
      text: 'a quoted record',
    }))
    const receipt = behaviour.receipt?.(honest) ?? honest
    const signed = await (behaviour.resign?.(receipt) ?? sign(key, receipt, domain))
    send({
      type: 'receipt',
      ...(behaviour.signed?.(signed) ?? signed),
      explanation: honest.citations.length > 0 ? { ...EXPLANATION, citations } : EXPLANATION,
      tokens,
      ...(honest.citations.length > 0 && { input: QUOTED }),
    })
    response.end()
  }

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    if (request.headers.authorization !== `Bearer ${WORKER_TOKEN}`)
      return void response.writeHead(401).end()
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString())
    if (request.url === '/finish') {
      const finishing = behaviour.finishes ?? true
      if (finishing) finished.add(finishRequest.parse(body).requestId)
      return void response.end(JSON.stringify({ finishing }))
    }
    const asked = generateRequest.parse(body)
    requests.push(asked)
    const { refuses } = behaviour
    if (refuses)
      return void response
        .writeHead(refuses.status, { 'retry-after': String(refuses.retryAfter) })
        .end(JSON.stringify({ title: 'too many requests are waiting' }))
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    await answer(asked, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    address,
    key,
    requests,
    behave: (next) => (behaviour = next),
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const line = (event: GenerateEvent): string => `${toJson(event)}\n`

export const workerHeaders = {
  authorization: `Bearer ${WORKER_TOKEN}`,
  'content-type': 'application/json',
}

/** Sees to it that an account of an edge's chain has wei at stake, with anvil's second account. */
export async function stakeFor(edge: Edge, account: Hex, value: bigint): Promise<void> {
  const { RPC_URL, CONTRACTS } = (await edge.worker.getEnv()) as unknown as Record<string, string>
  const anvil = createTestClient({ mode: 'anvil', transport: http(RPC_URL), pollingInterval: 100 })
    .extend(publicActions)
    .extend(walletActions)
  const { validatorStaking } = JSON.parse(CONTRACTS ?? '') as Contracts
  const staking = { address: validatorStaking, abi: validatorStakingAbi } as const
  const { stake } = await anvil.readContract({
    ...staking,
    functionName: 'validatorOf',
    args: [account],
  })
  if (stake >= value) return
  const hash = await anvil.writeContract({
    ...staking,
    functionName: 'stake',
    args: [account],
    value: value - stake,
    account: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
    chain: null,
  })
  const { blockNumber } = await anvil.waitForTransactionReceipt({ hash })
  // The edge reads there.
  await eventually(async () => (await anvil.getBlock({ blockTag: 'safe' })).number >= blockNumber)
}

/** Registers a worker for a base model, with stake; answers its id. */
export async function registerGpuWorker(
  edge: Edge,
  worker: Pick<GpuWorker, 'url' | 'address'>,
  base: { name: string; digest: Hex; contextLength: number },
): Promise<string> {
  await stakeFor(edge, worker.address, PARAMETERS['staking.minimum'].value)
  const response = await edge.fetch('/v1/workers', {
    method: 'POST',
    headers: workerHeaders,
    body: JSON.stringify({
      address: worker.address,
      url: worker.url,
      device: 'a test',
      bases: [base],
    }),
  })
  if (!response.ok) throw new Error(await response.text())
  return ((await response.json()) as { workerId: string }).workerId
}
