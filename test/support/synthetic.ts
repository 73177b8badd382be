import type { PrivateKeyAccount } from 'viem/accounts'
import { encodeRows } from '#gpu-worker/attribution/index-files.ts'
import {
  bytesOf,
  comparedRows,
  scoreRows,
  type ComparedRows,
} from '#gpu-worker/attribution/index-rows.ts'
import { promptHash } from '#gpu-worker/attribution/receipt.ts'
import { encodeSpanIndex } from '#gpu-worker/attribution/span-files.ts'
import { buildSpanIndex, creditSpans, type SpanIndex } from '#gpu-worker/attribution/span-index.ts'
import { canonicalJson, keccak, lowerCase, sha256Hex, type Hex } from '#protocol/bytes.ts'
import type { InfluenceRow } from '#protocol/influence-row.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import { paramsHash, type ParameterValues } from '#protocol/parameters.ts'
import {
  encodeQuery,
  receiptTypedData,
  type Receipt,
  type ReceiptDomain,
  type SignedReceipt,
  type Span,
} from '#protocol/receipt.ts'
import {
  dotInt8,
  METHOD_VERSION,
  methodOf,
  RELATIVE_ONE,
  splitFee,
  type Candidate,
} from '#protocol/score.ts'
import { joinSegments, tokensRoot } from '#protocol/tokens.ts'
import type { KeptTexts } from '#protocol/generation.ts'
import { ADAPTER_FILES, type AdapterManifest } from '#protocol/wire.ts'

/**
 * An adapter without a model: its index is random but real, in the product's own files, so that receipts over it can be
 * checked and challenged like any others. Everything follows from the seed.
 */
export type SyntheticAdapter = {
  digest: Hex
  base: Hex
  owner: Hex
  datanet: { id: string; root: Hex }
  manifestHash: Hex
  indexRoot: Hex
  index: ComparedRows
  spans: SpanIndex
  tokens: number[][]
  /** Published files by their SHA-256. */
  files: Map<Hex, Uint8Array>
  /** Leaves of the Datanet version. */
  leaves: { record: Hex; cluster: Hex; contributor: Hex }[]
}

const ROWS = 24
const DIMS = 256
const VOCABULARY = 500
const RECORD_TOKENS = 70
/** Unrelated vectors of so many dimensions have cosines of about 1 / 16. */
const NULL_DEVIATION = RELATIVE_ONE / 14n

/** A generator of whole numbers below a bound (mulberry32). */
export function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

export function syntheticAdapter(
  seed: number,
  { base, owner, contributors }: { base: Hex; owner: Hex; contributors: readonly Hex[] },
): SyntheticAdapter {
  const random = numbers(seed)
  const leaves = Array.from({ length: ROWS }, (_, i) => {
    const record = keccak(`record ${seed}/${i}`)
    return { record, cluster: record, contributor: contributors[i % contributors.length]! }
  })
  const tokens = leaves.map(() => Array.from({ length: RECORD_TOKENS }, () => random(VOCABULARY)))
  const vectors = Int8Array.from({ length: ROWS * DIMS }, () => random(121) - 60)
  const rows = leaves.map((leaf, i): InfluenceRow => {
    const vector = vectors.subarray(i * DIMS, (i + 1) * DIMS)
    return {
      ...leaf,
      vectorHash: keccak(bytesOf(vector)),
      exponent: -7,
      nullMean: BigInt(random(2_000)) - 1_000n,
      nullDeviation: NULL_DEVIATION,
      self: BigInt(dotInt8(vector, vector)),
      tokensRoot: tokensRoot(joinSegments([tokens[i]!])),
      tokens: RECORD_TOKENS,
    }
  })
  const digest = sha256Hex(`adapter ${seed}`)
  const root = merkleTree(
    leaves.map((leaf) => leafHash('record', [leaf.record, leaf.cluster, leaf.contributor])),
  ).root
  const spans = buildSpanIndex(
    tokens.map((row) => [row]),
    VOCABULARY,
  )
  const index = comparedRows(rows, vectors, DIMS)
  const contents: Record<(typeof ADAPTER_FILES)[number], Uint8Array> = {
    'adapter_model.safetensors': Buffer.from(`weights ${seed}`),
    'adapter_config.json': Buffer.from('{}'),
    'index/rows.json': encodeRows(rows, DIMS),
    'index/vectors.i8': bytesOf(vectors),
    'index/landmarks.i8': Buffer.from(`landmarks ${seed}`),
    'index/projection.safetensors': Buffer.from(`projection ${seed}`),
    'index/spans.bin': encodeSpanIndex(spans),
  }
  const datanet = { id: `dn_${seed}`, root }
  const manifest: AdapterManifest = {
    format: 'openledger-adapter-1',
    digest,
    base: { name: 'base', digest: base },
    owner,
    slug: 'synthetic',
    jobId: 'ftjob-synthetic',
    datanets: [{ id: datanet.id, version: 1, root, manifest: sha256Hex(`datanet ${seed}`) }],
    indexRoot: index.root,
    files: Object.fromEntries(
      ADAPTER_FILES.map((name) => [
        name,
        { sha256: sha256Hex(contents[name]), bytes: contents[name].length },
      ]),
    ) as AdapterManifest['files'],
    training: { steps: 1, tokens: 1, initialValidationLoss: 2, validationLoss: 1 },
  }
  const manifestBytes = new TextEncoder().encode(canonicalJson(manifest))
  return {
    digest,
    base,
    owner,
    datanet,
    manifestHash: sha256Hex(manifestBytes),
    indexRoot: index.root,
    index,
    spans,
    tokens,
    files: new Map(
      [...Object.values(contents), manifestBytes].map((bytes) => [sha256Hex(bytes), bytes]),
    ),
    leaves,
  }
}

export type Call = {
  /** Decides what is asked and answered. */
  seed: number
  payer: Hex
  pricePerToken: bigint
  values: ParameterValues
  domain: ReceiptDomain
  worker: PrivateKeyAccount
  /** Unix seconds. */
  time: bigint
  /** Changes the receipt before the worker signs it. */
  tamper?: (receipt: Receipt) => Receipt
  /** Changes what the records score before anything is paid by it: a lie that adds up. */
  tamperScores?: (candidates: Scored[]) => Scored[]
}

export type Scored = Candidate & { spans: Span[] }

const PROMPT_TOKENS = 9

/** A receipt whose answer repeats words of two records and leans toward two others, and the texts of it. */
export async function callAdapter(
  adapter: SyntheticAdapter,
  {
    seed,
    payer,
    pricePerToken,
    values,
    domain,
    worker,
    time,
    tamper = (it) => it,
    tamperScores = (it) => it,
  }: Call,
): Promise<{ signed: SignedReceipt; texts: KeptTexts }> {
  const random = numbers(seed)
  const [a, b, c] = [random(ROWS), random(ROWS), random(ROWS)] as [number, number, number]
  const vectorAt = (row: number) => adapter.index.vectors.vector(row)
  const query = Int8Array.from({ length: DIMS }, (_, i) =>
    Math.round(((vectorAt(a)[i] ?? 0) + (vectorAt(b)[i] ?? 0)) / 2 + random(21) - 10),
  )
  const tokens = [
    ...adapter.tokens[b]!.slice(5, 25),
    ...Array.from({ length: 6 }, () => random(VOCABULARY)),
    ...adapter.tokens[c]!.slice(30, 48),
  ]
  const credit = creditSpans(adapter.spans, tokens, () => false)
  const scored: Scored[] = scoreRows(adapter.index, {
    values: query,
    self: dotInt8(query, query),
  }).map(({ row, influence, significance }) => {
    const { record, cluster, contributor } = adapter.index.rows[row]!
    const { text = 0n, spans = [] } = credit.rows.get(row) ?? {}
    return { record, cluster, contributor, influence, significance, text, spans }
  })
  const candidates = tamperScores(scored)
  const { shortlist, allocate } = methodOf(METHOD_VERSION)
  const { rows: listed, floor } = shortlist(candidates, values)
  const fee = BigInt(PROMPT_TOKENS + tokens.length) * pricePerToken
  const split = splitFee(fee, values)
  const { rows, unattributed } = allocate(split.contributors, listed, credit, values)
  const input = { prompt: `question ${seed}` }
  const output = tokens.join(' ')
  const receipt = tamper({
    requestId: keccak(`request ${seed}`),
    payer,
    base: adapter.base,
    adapter: adapter.digest,
    indexRoot: adapter.indexRoot,
    datanets: [adapter.datanet.root],
    paramsHash: paramsHash(values),
    methodVersion: METHOD_VERSION,
    promptHash: promptHash(input),
    outputHash: keccak(output),
    outputRoot: tokensRoot(tokens),
    outputTokens: tokens.length,
    queryHash: keccak(bytesOf(query)),
    promptTokens: PROMPT_TOKENS,
    completionTokens: tokens.length,
    fee,
    platform: split.platform,
    model: split.model,
    stakers: split.stakers,
    retrieval: 0n,
    modelOwner: adapter.owner,
    covered: credit.covered,
    total: credit.total,
    floor,
    rows: rows.map(({ cluster, record, contributor, influence, significance, text, amount }) => ({
      cluster,
      record,
      contributor,
      influence,
      significance,
      text,
      amount,
      spans: candidates.find((known) => known.cluster === cluster)?.spans ?? [],
    })),
    unattributed,
    citations: [],
    stored: true,
    worker: lowerCase(worker.address),
    time,
  })
  return {
    signed: {
      receipt,
      signature: await worker.signTypedData(receiptTypedData(receipt, domain)),
      query: encodeQuery(query),
    },
    texts: { input, output, tokens },
  }
}
