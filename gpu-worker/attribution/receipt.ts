/** Assembles and signs the receipt of one answer. */
import type { LocalAccount } from 'viem'
import { canonicalJson, keccak, lowerCase, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import {
  receiptFault,
  receiptTypedData,
  type Citation,
  type Receipt,
  type ReceiptDomain,
  type SignedReceipt,
} from '#protocol/receipt.ts'
import { citationAmounts, METHOD_VERSION, type FeeSplit } from '#protocol/score.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import type { GenerateRequest } from '#protocol/generation.ts'
import type { Attribution } from './attribute.ts'

export type ReceiptInput = {
  request: Pick<GenerateRequest, 'requestId' | 'payer' | 'base' | 'input' | 'store'>
  outputText: string
  /** The tokens of the text. */
  outputTokens: readonly number[]
  promptTokens: number
  completionTokens: number
  fee: bigint
  split: FeeSplit
  paramsHash: Hex
  modelOwner: Hex
  /** What was quoted to the model; `request.input` holds the quotations. */
  cited: readonly Omit<Citation, 'amount'>[]
  /** Absent for the bare base: it has no contributors, so their part is the model owner's. */
  adapter?: {
    digest: Hex
    indexRoot: Hex
    datanets: Hex[]
    attribution: Omit<Attribution, 'explanation'>
  }
}

/** keccak256 of a prompt: of its text, or of the canonical JSON of its messages. Lone surrogates become U+FFFD. */
export const promptHash = (input: GenerateRequest['input']): Hex =>
  'prompt' in input
    ? keccak(input.prompt)
    : keccak(
        canonicalJson(
          input.messages.map(({ role, content }) => ({ role, content: content.toWellFormed() })),
        ),
      )

/** Builds the receipt and signs it as the worker; throws when its sums do not hold. */
export async function signReceipt(
  input: ReceiptInput,
  account: LocalAccount,
  domain: ReceiptDomain,
): Promise<SignedReceipt> {
  const { request, split, adapter } = input
  const attribution = adapter?.attribution
  const amounts = citationAmounts(split.retrieval, input.cited.length)
  const receipt: Receipt = {
    requestId: request.requestId,
    payer: request.payer,
    base: request.base,
    adapter: adapter?.digest ?? ZERO_HASH,
    indexRoot: adapter?.indexRoot ?? ZERO_HASH,
    datanets: adapter?.datanets ?? [],
    paramsHash: input.paramsHash,
    methodVersion: METHOD_VERSION,
    promptHash: promptHash(request.input),
    outputHash: keccak(input.outputText),
    outputRoot: tokensRoot(input.outputTokens),
    outputTokens: input.outputTokens.length,
    queryHash: attribution?.queryHash ?? ZERO_HASH,
    promptTokens: input.promptTokens,
    completionTokens: input.completionTokens,
    fee: input.fee,
    platform: split.platform,
    model: split.model + (adapter ? 0n : split.contributors),
    stakers: split.stakers,
    retrieval: split.retrieval,
    modelOwner: input.modelOwner,
    covered: attribution?.covered ?? 0n,
    total: attribution?.total ?? 0n,
    floor: attribution?.floor ?? 0n,
    rows: attribution?.rows ?? [],
    unattributed: attribution?.unattributed ?? 0n,
    citations: input.cited.map((cited, i) => ({ ...cited, amount: amounts[i] ?? 0n })),
    stored: request.store,
    worker: lowerCase(account.address),
    time: BigInt(Math.floor(Date.now() / 1000)),
  }
  const fault = receiptFault(receipt)
  if (fault) throw new Error(`receipt: ${fault}`)
  return {
    receipt,
    signature: await account.signTypedData(receiptTypedData(receipt, domain)),
    query: attribution?.query ?? '',
  }
}
