import { keccak, lowerCase, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import {
  CLOCK_SECONDS,
  queryBytes,
  receiptFault,
  receiptSigner,
  type Receipt,
  type ReceiptDomain,
  type SignedReceipt,
} from '#protocol/receipt.ts'
import type { RecordKey, Revocation } from '#protocol/revocations.ts'
import { sharesFault } from '#protocol/shares.ts'
import { METHOD_VERSION } from '#protocol/score.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import type { GenerateRequest } from '#protocol/generation.ts'
import type { Parameters } from '../chain/parameters.ts'

/** What a receipt has to say, by what was asked and what came back. */
export type Asked = {
  requestId: Hex
  payer: Hex
  base: Hex
  /** Null for the bare base. */
  adapter: { digest: Hex; indexRoot: Hex; datanetRoots: readonly Hex[] } | null
  modelOwner: Hex
  pricePerToken: bigint
  /** Address of the registered worker that was asked. */
  worker: Hex
  maxTokens: number
  /** What was to be retrieved from; null when nothing was. */
  retrieval: GenerateRequest['retrieval'] | null
  /** Wei that were held for the request. */
  held: bigint
  output: string
  /** Token ids of the answer, as the worker says them beside the receipt. */
  tokens: readonly number[]
  /** Whether the texts are kept. */
  stored: boolean
  promptTokens: number
  completionTokens: number
  parameters: Parameters
  domain: ReceiptDomain
  /** The entry by which a record was revoked so long before the receipt that its worker had to heed it. */
  revocationOf: (key: RecordKey) => Revocation | null
  /** Unix seconds. */
  now: bigint
}

/**
 * Why a worker's receipt is refused, or null. Checked: the signature, the identity of request, payer and model, the
 * answer, the fee, that nothing revoked is paid, and everything that follows from the receipt's own rows. What only the index and re-execution show
 * (scores, texts) is left to validators and challenges.
 */
export async function receiptRefusal(signed: SignedReceipt, asked: Asked): Promise<string | null> {
  const { receipt } = signed
  const { adapter, parameters } = asked
  const expected = {
    requestId: asked.requestId,
    payer: asked.payer,
    base: asked.base,
    adapter: adapter?.digest ?? ZERO_HASH,
    indexRoot: adapter?.indexRoot ?? ZERO_HASH,
    worker: asked.worker,
    modelOwner: asked.modelOwner,
    paramsHash: parameters.paramsHash,
    methodVersion: METHOD_VERSION,
    outputHash: keccak(asked.output),
    outputRoot: tokensRoot(asked.tokens),
    outputTokens: asked.tokens.length,
    stored: asked.stored,
    promptTokens: asked.promptTokens,
    completionTokens: asked.completionTokens,
  }
  for (const [name, value] of Object.entries(expected))
    if (receipt[name as keyof typeof expected] !== value)
      return `${name} is ${receipt[name as keyof typeof expected]}, not ${value}`
  if (receipt.datanets.toSorted().join() !== [...(adapter?.datanetRoots ?? [])].toSorted().join())
    return 'datanets are not those of the adapter'
  if (receipt.completionTokens > asked.maxTokens)
    return `${receipt.completionTokens} tokens were asked at most ${asked.maxTokens}`
  const drift = receipt.time - asked.now
  if (drift > CLOCK_SECONDS || drift < -CLOCK_SECONDS) return `time is ${drift} s off`

  const fee = BigInt(receipt.promptTokens + receipt.completionTokens) * asked.pricePerToken
  if (receipt.fee !== fee) return `fee is ${receipt.fee} wei, not ${fee}`
  if (receipt.fee > asked.held) return `fee is ${receipt.fee} wei, ${asked.held} were held`
  const expectedQuery = adapter ? keccak(queryBytes(signed)) : ZERO_HASH
  if (receipt.queryHash !== expectedQuery || (!adapter && signed.query !== ''))
    return 'the query vector is not the one that the receipt names'
  const cited = citationFault(receipt, asked)
  if (cited !== null) return cited
  for (const key of [...receipt.rows, ...receipt.citations]) {
    const entry = asked.revocationOf(key)
    if (entry) return `record ${entry.record} was ${entry.reason} at ${entry.time}`
  }
  const fault = receiptFault(receipt) ?? sharesFault(receipt, parameters.values)
  if (fault !== null) return fault
  return (await signerOf(signed, asked.domain)) === asked.worker
    ? null
    : 'the signature is not the worker’s'
}

function citationFault({ citations }: Receipt, { retrieval }: Asked): string | null {
  if (citations.length > (retrieval?.topK ?? 0)) return `${citations.length} citations are too many`
  const roots = new Set(retrieval?.versions.map(({ root }) => root))
  const foreign = citations.find(({ datanet }) => !roots.has(datanet))
  return foreign ? `${foreign.record} is of another Datanet version than those asked for` : null
}

async function signerOf(signed: SignedReceipt, domain: ReceiptDomain): Promise<Hex | null> {
  try {
    return lowerCase(await receiptSigner(signed, domain))
  } catch {
    return null // not a signature at all
  }
}
