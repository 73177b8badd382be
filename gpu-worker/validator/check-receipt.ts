/** Every integer of a receipt, from public data alone. */
import { keccak, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import type { InfluenceRow } from '#protocol/influence-row.ts'
import type { ParameterValues } from '#protocol/parameters.ts'
import {
  CLOCK_SECONDS,
  queryBytes,
  receiptFault,
  receiptSigner,
  type Receipt,
  type ReceiptDomain,
  type SignedReceipt,
} from '#protocol/receipt.ts'
import {
  headOf,
  heededAt,
  revocationOf,
  type RecordKey,
  type RevocationLog,
} from '#protocol/revocations.ts'
import { dotInt8, isSignificant } from '#protocol/score.ts'
import { sharesFault } from '#protocol/shares.ts'
import { SEGMENT_END, tokensRoot } from '#protocol/tokens.ts'
import type { KeptTexts } from '#protocol/generation.ts'
import { promptHash } from '../attribution/receipt.ts'
import { scoreRows } from '../attribution/index-rows.ts'
import { check, type Check } from './checks.ts'
import type { ModelFacts } from './chain-facts.ts'
import type { OpenIndex } from './open-index.ts'

export type ReceiptFacts = {
  domain: ReceiptDomain
  /** The governed numbers that the receipt names; null when they never were in force. */
  values: ParameterValues | null
  /** What the chain says of the adapter, or of the bare base; null when it is not registered. */
  model: ModelFacts | null
  /** The adapter's index; an Error says why it cannot be had; null for a bare base. */
  index: OpenIndex | Error | null
  /** Which records were revoked when. */
  revocations: RevocationLog
  /** Whether a record was revoked on chain, too, when the receipt's epoch was submitted. */
  isRevokedOnChain: (key: RecordKey) => boolean
  /** Prompt and answer, when the validator may read them. */
  texts?: KeptTexts | null
}

/** Checks a receipt without trusting who gave it. All checks come back, those that hold too. */
export async function checkReceipt(signed: SignedReceipt, facts: ReceiptFacts): Promise<Check[]> {
  const { receipt } = signed
  const { values, model, index, revocations, isRevokedOnChain, texts } = facts
  const sums = receiptFault(receipt)
  return [
    await checkSignature(signed, facts.domain),
    check('sums', sums === null, sums ?? `${receipt.fee} wei in all`),
    check(
      'parameters',
      values !== null,
      values ? receipt.paramsHash : `${receipt.paramsHash} never was in force`,
    ),
    ...checkModel(receipt, model),
    ...(values ? [checkShares(receipt, values)] : []),
    ...(texts ? checkTexts(receipt, texts) : []),
    checkRevoked(receipt, revocations),
    // Other texts than the receipt's show nothing about its spans.
    ...checkIndex(signed, {
      values,
      index,
      revocations,
      isRevokedOnChain,
      texts: texts && isAnswer(receipt, texts) ? texts : null,
    }),
  ]
}

const isAnswer = (receipt: Receipt, { output, tokens }: KeptTexts): boolean =>
  keccak(output) === receipt.outputHash &&
  tokens.length === receipt.outputTokens &&
  tokensRoot(tokens) === receipt.outputRoot

async function checkSignature(signed: SignedReceipt, domain: ReceiptDomain): Promise<Check> {
  const { worker } = signed.receipt
  try {
    const signer = (await receiptSigner(signed, domain)).toLowerCase()
    return check('signature', signer === worker, `signed by ${signer}, names ${worker}`)
  } catch {
    return check('signature', false, 'the signature is none')
  }
}

/** The model is registered as the receipt says, belongs to who is paid for it, and costs what was asked. */
function checkModel(receipt: Receipt, model: ModelFacts | null): Check[] {
  if (!model) return [check('model', false, `${receipt.adapter} is not registered`)]
  const isBase = receipt.adapter === ZERO_HASH
  const fits =
    model.owner === receipt.modelOwner &&
    model.indexRoot === receipt.indexRoot &&
    (isBase || model.base === receipt.base) &&
    model.datanetRoots.toSorted().join() === receipt.datanets.toSorted().join()
  const tokens = BigInt(receipt.promptTokens + receipt.completionTokens)
  // A price that changed within what clocks may differ by may be the old or the new one.
  const prices = model.prices
    .filter(
      ({ from, until }) =>
        from <= receipt.time + CLOCK_SECONDS && until + CLOCK_SECONDS >= receipt.time,
    )
    .map(({ wei }) => wei)
  return [
    check('model', fits, `of ${model.owner}, index ${model.indexRoot}`),
    check(
      'price',
      prices.some((wei) => receipt.fee === tokens * wei),
      `${receipt.fee} wei for ${tokens} tokens at ${prices.join(' or ')} wei`,
    ),
  ]
}

function checkShares(receipt: Receipt, values: ParameterValues): Check {
  try {
    const fault = sharesFault(receipt, values)
    return check('shares', fault === null, fault ?? `${receipt.rows.length} rows`)
  } catch (error) {
    return check('shares', false, messageOf(error)) // unknown method
  }
}

/** Texts against their hashes. */
const checkTexts = (receipt: Receipt, texts: KeptTexts): Check[] => [
  check('prompt', promptHash(texts.input) === receipt.promptHash, receipt.promptHash),
  check(
    'answer',
    isAnswer(receipt, texts),
    `${receipt.outputHash}, ${receipt.outputTokens} tokens`,
  ),
]

/** Nothing that was revoked for long enough is listed or cited. */
function checkRevoked({ rows, citations, time }: Receipt, log: RevocationLog): Check {
  const { least, most } = heededAt(log, time)
  for (const [kind, list] of Object.entries({ row: rows, citation: citations }))
    for (const [i, key] of list.entries()) {
      const entry = revocationOf(log, key, least)
      if (entry)
        return check(
          'revoked',
          false,
          `${kind} ${i}: record ${entry.record} was ${entry.reason} at ${entry.time}`,
          kind === 'row' ? { row: i } : undefined,
        )
    }
  return check('revoked', true, `${least} to ${most} entries, ${headOf(log, most)}`)
}

type RowFacts = Pick<ReceiptFacts, 'values' | 'revocations' | 'isRevokedOnChain'>
type IndexFacts = RowFacts & {
  index: ReceiptFacts['index']
  texts: KeptTexts | null
}

function checkIndex(signed: SignedReceipt, { index, texts, ...rowFacts }: IndexFacts): Check[] {
  const { receipt } = signed
  if (index === null)
    return [
      check(
        'query',
        signed.query === '' && receipt.queryHash === ZERO_HASH,
        'a bare base has none',
      ),
    ]
  if (index instanceof Error) return [check('index', false, index.message)]
  const bytes = queryBytes(signed)
  const query = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isQuery = keccak(bytes) === receipt.queryHash && query.length === index.vectors.dims
  const checks = [
    check('index', true, `${index.rows.length} rows of ${index.vectors.dims}`),
    check('query', isQuery, `${query.length} dimensions, ${receipt.queryHash}`),
  ]
  if (!isQuery) return checks
  const places = new Map<Hex, number>(index.rows.map(({ record }, i) => [record, i]))
  return [
    ...checks,
    ...checkRows(receipt, index, places, { query, ...rowFacts }),
    ...checkSpans(receipt, index, places, texts),
  ]
}

/** Who the rows are, what the query gives them, and whether a row is missing: one integer scan over the index. */
function checkRows(
  receipt: Receipt,
  index: OpenIndex,
  places: ReadonlyMap<Hex, number>,
  { query, values, revocations, isRevokedOnChain }: RowFacts & { query: Int8Array },
): Check[] {
  const { most } = heededAt(revocations, receipt.time)
  // The log alone could say so of anybody's records: what their contributors signed is on chain.
  const mayBeLeftOut = (key: RecordKey): boolean =>
    revocationOf(revocations, key, most) !== undefined && isRevokedOnChain(key)
  const scores = scoreRows(index, { values: query, self: dotInt8(query, query) })
  const faults: Check[] = []
  const listed = new Set(receipt.rows.map(({ cluster }) => cluster))
  for (const [row, claimed] of receipt.rows.entries()) {
    const indexRow = places.get(claimed.record)
    const known = indexRow === undefined ? undefined : index.rows[indexRow]
    const score = indexRow === undefined ? undefined : scores[indexRow]
    if (indexRow === undefined || !known || !score) {
      faults.push(
        check('unlisted', false, `row ${row}: the index has no record ${claimed.record}`, { row }),
      )
      continue
    }
    const isSame = known.cluster === claimed.cluster && known.contributor === claimed.contributor
    if (!isSame)
      faults.push(
        check(
          'rows',
          false,
          `row ${row}: record ${known.record} is of cluster ${known.cluster} and of ${known.contributor}`,
          { row, indexRow },
        ),
      )
    if (score.influence !== claimed.influence || score.significance !== claimed.significance)
      faults.push(
        check(
          'scores',
          false,
          `row ${row} claims influence ${claimed.influence} and significance ${claimed.significance}, the index gives ${score.influence} and ${score.significance}`,
          { row, indexRow },
        ),
      )
  }
  if (values)
    for (const score of scores)
      if (
        isSignificant(score, values) &&
        score.influence > receipt.floor &&
        !listed.has((index.rows[score.row] as InfluenceRow).cluster) &&
        !mayBeLeftOut(index.rows[score.row] as InfluenceRow)
      )
        faults.push(
          check(
            'omission',
            false,
            `index row ${score.row} with influence ${score.influence} is not listed; the floor is ${receipt.floor}`,
            { indexRow: score.row },
          ),
        )
  return withHeld(
    ['unlisted', 'rows', 'scores', 'omission'],
    faults,
    `${receipt.rows.length} of ${scores.length} rows`,
  )
}

/** Spans lie within one segment of the record and, with the answer at hand, say the same. */
function checkSpans(
  receipt: Receipt,
  index: OpenIndex,
  places: ReadonlyMap<Hex, number>,
  texts: KeptTexts | null,
): Check[] {
  const faults: Check[] = []
  let count = 0
  for (const [row, { record: claimed, spans }] of receipt.rows.entries()) {
    const indexRow = places.get(claimed)
    if (indexRow === undefined || spans.length === 0) continue
    const tokens = index.tokensOf(indexRow)
    for (const [span, { outputStart, recordStart, length }] of spans.entries()) {
      count++
      // A span of no tokens is none.
      for (let offset = 0; offset < Math.max(1, length); offset++) {
        const record = tokens[recordStart + offset]
        const output = texts ? texts.tokens[outputStart + offset] : record
        const isSame =
          length > 0 &&
          record !== undefined &&
          record !== SEGMENT_END &&
          record === output &&
          outputStart + offset < receipt.outputTokens
        if (isSame) continue
        faults.push(
          check('spans', false, `row ${row}, span ${span}: token ${offset} is not the record’s`, {
            row,
            span,
            indexRow,
            offset,
          }),
        )
        break
      }
    }
  }
  return withHeld(['spans'], faults, `${count} spans${texts ? '' : ', without the answer'}`)
}

/** The faults, and for every check without one that it holds. */
function withHeld(names: readonly Check['name'][], faults: Check[], detail: string): Check[] {
  const failed = new Set(faults.map(({ name }) => name))
  return [
    ...faults,
    ...names.filter((name) => !failed.has(name)).map((name) => check(name, true, detail)),
  ]
}
