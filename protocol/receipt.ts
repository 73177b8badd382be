import { recoverAddress } from 'viem'
import { concatBytes, keccak, type Hex } from './bytes.ts'
import { DOMAIN_TYPES, domainOf, structHash } from './typed-data.ts'

/** A verbatim match: response tokens [outputStart, outputStart + length) equal the record's from recordStart. */
export type Span = { outputStart: number; recordStart: number; length: number }

/** A record on the shortlist of a response, standing for its near-duplicate cluster. */
export type ReceiptRow = {
  cluster: Hex
  record: Hex
  contributor: Hex
  /** Relative influence above the null mean, in units of score.RELATIVE_ONE; negative for opponents. */
  influence: bigint
  /** Thousandths of a null deviation. */
  significance: bigint
  /** Millinats of verbatim information. */
  text: bigint
  spans: Span[]
  /** Wei; zero when the row stays below a threshold. */
  amount: bigint
}

/** A record that was retrieved for the answer and quoted to the model. */
export type Citation = {
  cluster: Hex
  record: Hex
  contributor: Hex
  /** Merkle root of the Datanet version that it was retrieved from. */
  datanet: Hex
  /** Wei. */
  amount: bigint
}

/**
 * What one inference call was, which records shaped it and who is paid how much. Amounts are wei; hashes of
 * texts are keccak256 of their UTF-8. `adapter` and `indexRoot` are zero and `rows` is empty for a bare base.
 * `rows` are the shortlist of protocol/score.ts by falling weight, ties by cluster; `citations` stand in the order in
 * which the model read them.
 */
export type Receipt = {
  requestId: Hex
  payer: Hex
  base: Hex
  adapter: Hex
  indexRoot: Hex
  /** Merkle roots of the Datanet versions the adapter was trained on. */
  datanets: Hex[]
  paramsHash: Hex
  methodVersion: number
  promptHash: Hex
  outputHash: Hex
  /** protocol/tokens.ts over the tokens of the answer's text, and how many they are. */
  outputRoot: Hex
  outputTokens: number
  /** keccak256 of the int8 query vector; zero without an adapter. */
  queryHash: Hex
  promptTokens: number
  completionTokens: number
  fee: bigint
  platform: bigint
  model: bigint
  stakers: bigint
  /** Paid to the citations in equal parts; zero when there are none. */
  retrieval: bigint
  modelOwner: Hex
  /** Millinats of the answer's information: what credited spans cover, and all of it. */
  covered: bigint
  total: bigint
  /** Every row of the index that is significant and has more influence than this is on the shortlist. */
  floor: bigint
  rows: ReceiptRow[]
  /** Paid to the base pool of `datanets`, in equal parts per cluster. */
  unattributed: bigint
  citations: Citation[]
  /** Whether the texts are kept for the challenge window, encrypted, so that gradients can be re-executed. */
  stored: boolean
  worker: Hex
  /** Unix seconds. */
  time: bigint
}

/** Seconds that the clocks of edge, worker and chain may differ by. */
export const CLOCK_SECONDS = 300n

/**
 * open: waits for its epoch. batched: in an epoch whose file is on its way to the data-availability layer. submitted:
 * the transaction is on its way. settled: in a block. safe: that block is derived from the L1. final: nothing can undo
 * it, and its payouts can be claimed. disabled: its epoch was disabled and is being refunded. refused: proven wrong, so
 * that no epoch will have it and nobody pays for it.
 */
export const RECEIPT_STATUSES = [
  'open',
  'batched',
  'submitted',
  'settled',
  'safe',
  'final',
  'disabled',
  'refused',
] as const
export type ReceiptStatus = (typeof RECEIPT_STATUSES)[number]

/** What the worker hands out and epochs publish: enough to check every integer of the receipt. */
export type SignedReceipt = {
  receipt: Receipt
  signature: Hex
  /** The int8 query vector in base64; empty without an adapter. */
  query: string
}

/** Base64 of a query vector. */
export const encodeQuery = (vector: Int8Array): string =>
  btoa(String.fromCharCode(...new Uint8Array(vector)))

/** The query vector of a receipt as bytes (two's complement); throws on what is not base64. */
export const queryBytes = ({ query }: Pick<SignedReceipt, 'query'>): Uint8Array =>
  Uint8Array.from(atob(query), (char) => char.charCodeAt(0))

export const RECEIPT_TYPES = {
  Span: [
    { name: 'outputStart', type: 'uint32' },
    { name: 'recordStart', type: 'uint32' },
    { name: 'length', type: 'uint32' },
  ],
  Row: [
    { name: 'cluster', type: 'bytes32' },
    { name: 'record', type: 'bytes32' },
    { name: 'contributor', type: 'address' },
    { name: 'influence', type: 'int64' },
    { name: 'significance', type: 'int64' },
    { name: 'text', type: 'uint64' },
    { name: 'spans', type: 'Span[]' },
    { name: 'amount', type: 'uint256' },
  ],
  Citation: [
    { name: 'cluster', type: 'bytes32' },
    { name: 'record', type: 'bytes32' },
    { name: 'contributor', type: 'address' },
    { name: 'datanet', type: 'bytes32' },
    { name: 'amount', type: 'uint256' },
  ],
  Receipt: [
    { name: 'requestId', type: 'bytes32' },
    { name: 'payer', type: 'address' },
    { name: 'base', type: 'bytes32' },
    { name: 'adapter', type: 'bytes32' },
    { name: 'indexRoot', type: 'bytes32' },
    { name: 'datanets', type: 'bytes32[]' },
    { name: 'paramsHash', type: 'bytes32' },
    { name: 'methodVersion', type: 'uint32' },
    { name: 'promptHash', type: 'bytes32' },
    { name: 'outputHash', type: 'bytes32' },
    { name: 'outputRoot', type: 'bytes32' },
    { name: 'outputTokens', type: 'uint32' },
    { name: 'queryHash', type: 'bytes32' },
    { name: 'promptTokens', type: 'uint32' },
    { name: 'completionTokens', type: 'uint32' },
    { name: 'fee', type: 'uint256' },
    { name: 'platform', type: 'uint256' },
    { name: 'model', type: 'uint256' },
    { name: 'stakers', type: 'uint256' },
    { name: 'retrieval', type: 'uint256' },
    { name: 'modelOwner', type: 'address' },
    { name: 'covered', type: 'uint64' },
    { name: 'total', type: 'uint64' },
    { name: 'floor', type: 'int64' },
    { name: 'clusters', type: 'bytes' },
    { name: 'rows', type: 'Row[][]' },
    { name: 'unattributed', type: 'uint256' },
    { name: 'citations', type: 'Citation[]' },
    { name: 'stored', type: 'bool' },
    { name: 'worker', type: 'address' },
    { name: 'time', type: 'uint64' },
  ],
} as const

/** Where receipts are valid: one settlement contract on one chain. */
export type ReceiptDomain = { chainId: number; settlement: Hex }

/** Rows of a receipt are signed in groups of so many, so that one is opened without the hashes of all others. */
export const ROWS_PER_GROUP = 8

export const groupRows = <Row>(rows: readonly Row[]): Row[][] =>
  Array.from({ length: Math.ceil(rows.length / ROWS_PER_GROUP) }, (_, i) =>
    rows.slice(i * ROWS_PER_GROUP, (i + 1) * ROWS_PER_GROUP),
  )

const CLUSTER_BYTES = 20

/** The first 20 bytes of every listed cluster: what is listed, opened without the rows. */
export const listedClusters = ({ rows }: Pick<Receipt, 'rows'>): Hex =>
  `0x${rows.map(({ cluster }) => cluster.slice(2, 2 + 2 * CLUSTER_BYTES)).join('')}`

/** EIP-712 domain of whatever the settlement contract checks the signature of. */
export const settlementDomain = ({ chainId, settlement }: ReceiptDomain) =>
  domainOf(chainId, settlement)

/** EIP-712 arguments of a receipt, for viem's hashing, signing and recovery. */
export function receiptTypedData(receipt: Receipt, domain: ReceiptDomain) {
  return {
    domain: settlementDomain(domain),
    types: RECEIPT_TYPES,
    primaryType: 'Receipt',
    message: {
      ...receipt,
      clusters: listedClusters(receipt),
      rows: groupRows(receipt.rows),
    },
  } as const
}

const PREFIX = Uint8Array.of(0x19, 0x01)

/** EIP-712 hash: what the worker signs and what becomes a leaf of `receiptsRoot`. */
export function receiptHash(receipt: Receipt, at: ReceiptDomain): Hex {
  const { domain, types, primaryType, message } = receiptTypedData(receipt, at)
  return keccak(
    concatBytes(
      PREFIX,
      structHash(DOMAIN_TYPES, 'EIP712Domain', domain),
      structHash(types, primaryType, message),
    ),
  )
}

/** Address that signed the receipt; throws on a malformed signature. */
export const receiptSigner = (
  { receipt, signature }: Pick<SignedReceipt, 'receipt' | 'signature'>,
  domain: ReceiptDomain,
): Promise<Hex> => recoverAddress({ hash: receiptHash(receipt, domain), signature })

/** Why a receipt's sums do not hold, or null: fee = platform + model + stakers + retrieval + rows + unattributed. */
export function receiptFault(receipt: Receipt): string | null {
  const rows = receipt.rows.reduce((n, row) => n + row.amount, 0n)
  const { platform, model, stakers, retrieval, unattributed } = receipt
  const parts = platform + model + stakers + retrieval + rows + unattributed
  if (parts !== receipt.fee) return `fee is ${receipt.fee} wei but its parts sum to ${parts}`
  const cited = receipt.citations.reduce((n, { amount }) => n + amount, 0n)
  if (cited !== retrieval) return `retrieval is ${retrieval} wei but its citations get ${cited}`
  if (unattributed > 0n && receipt.datanets.length === 0)
    return 'nobody to pay the unattributed part to'
  return null
}
