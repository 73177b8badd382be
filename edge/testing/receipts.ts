import { privateKeyToAccount } from 'viem/accounts'
import { keccak, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { defaultParameters, paramsHash, type ParameterValues } from '#protocol/parameters.ts'
import {
  encodeQuery,
  type Citation,
  receiptTypedData,
  type Receipt,
  type ReceiptDomain,
  type ReceiptRow,
  type SignedReceipt,
} from '#protocol/receipt.ts'
import { allocate, citationAmounts, METHOD_VERSION, shortlist, splitFee } from '#protocol/score.ts'

import { tokensRoot } from '#protocol/tokens.ts'

/** What a test's worker says about one request; it works by the same rules as the gpu-worker. */
export type Said = {
  requestId: Hex
  payer: Hex
  base: Hex
  modelOwner: Hex
  pricePerToken: bigint
  promptTokens: number
  completionTokens: number
  output: string
  /** Token ids of the output. */
  tokens?: number[]
  stored?: boolean
  values?: ParameterValues
  /** Who is paid for what; absent for the bare base. */
  adapter?: {
    digest: Hex
    indexRoot: Hex
    datanets: Hex[]
    paid: Pick<ReceiptRow, 'cluster' | 'record' | 'contributor'>[]
  }
  /** What was retrieved. */
  citations?: Omit<Citation, 'amount'>[]
}

/** The receipt of a request: 80 % of the contributors' part to the paid rows alike, the rest to the base pool. */
export function receiptOf(said: Said, worker: Hex): Receipt {
  const values = said.values ?? testParameters()
  const fee = BigInt(said.promptTokens + said.completionTokens) * said.pricePerToken
  const citations = said.citations ?? []
  const split = splitFee(fee, values, citations.length)
  const cited = citationAmounts(split.retrieval, citations.length)
  const candidates = (said.adapter?.paid ?? []).map((row) => ({
    ...row,
    influence: 1_000n,
    significance: 5_000n,
    text: 0n,
  }))
  const { rows, floor } = shortlist(candidates, values)
  const information = { covered: 0n, total: 1_000n }
  const fair = allocate(said.adapter ? split.contributors : 0n, rows, information, values)
  return {
    requestId: said.requestId,
    payer: said.payer,
    base: said.base,
    adapter: said.adapter?.digest ?? ZERO_HASH,
    indexRoot: said.adapter?.indexRoot ?? ZERO_HASH,
    datanets: said.adapter?.datanets ?? [],
    paramsHash: paramsHash(values),
    methodVersion: METHOD_VERSION,
    promptHash: keccak('prompt'),
    outputHash: keccak(said.output),
    outputRoot: tokensRoot(said.tokens ?? []),
    outputTokens: said.tokens?.length ?? 0,
    queryHash: said.adapter ? keccak(QUERY) : ZERO_HASH,
    promptTokens: said.promptTokens,
    completionTokens: said.completionTokens,
    fee,
    platform: split.platform,
    model: said.adapter ? split.model : split.model + split.contributors,
    stakers: split.stakers,
    retrieval: split.retrieval,
    modelOwner: said.modelOwner,
    ...information,
    floor,
    rows: fair.rows.map(
      ({ cluster, record, contributor, influence, significance, text, amount }) => ({
        cluster,
        record,
        contributor,
        influence,
        significance,
        text,
        spans: [],
        amount,
      }),
    ),
    unattributed: fair.unattributed,
    citations: citations.map((citation, i) => ({ ...citation, amount: cited[i] ?? 0n })),
    stored: said.stored ?? false,
    worker,
    time: BigInt(Math.floor(Date.now() / 1_000)),
  }
}

const QUERY = Uint8Array.of(1, 2, 255)

/** The published query vector of a receipt that `receiptOf` made. */
export const queryOf = ({ adapter }: Pick<Receipt, 'adapter'>): string =>
  adapter === ZERO_HASH ? '' : encodeQuery(new Int8Array(QUERY))

/** Signs a receipt as the gpu-worker does. */
export async function sign(
  key: Hex,
  receipt: Receipt,
  domain: ReceiptDomain,
): Promise<SignedReceipt> {
  const signature = await privateKeyToAccount(key).signTypedData(receiptTypedData(receipt, domain))
  return { receipt, signature, query: queryOf(receipt) }
}

/** Governed numbers of `startChain`. */
export const testParameters = (): ParameterValues => ({
  ...defaultParameters(),
  'settlement.window': 2n,
})
