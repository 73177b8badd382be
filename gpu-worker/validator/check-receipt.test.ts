import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { privateKeyToAccount } from 'viem/accounts'
import { keccak, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { defaultParameters, paramsHash } from '#protocol/parameters.ts'
import {
  encodeQuery,
  queryBytes,
  receiptTypedData,
  type Receipt,
  type SignedReceipt,
} from '#protocol/receipt.ts'
import { emptyRevocations, type RecordKey } from '#protocol/revocations.ts'
import { splitFee } from '#protocol/score.ts'
import { promptText, type KeptTexts } from '#protocol/generation.ts'
import { adapterManifest } from '#protocol/wire.ts'
import { attribute, type AttributionIndex } from '../attribution/attribute.ts'
import { openGradients } from '../attribution/gradients.ts'
import { signReceipt } from '../attribution/receipt.ts'
import { openAdapterStore } from '../serving/adapter-store.ts'
import { liveIndex, wholeOf } from '../serving/revocations.ts'
import { revokeRecord } from '../testing/revocations.ts'
import {
  contributor,
  fixedChain,
  OWNER,
  PRICE,
  records,
  registered,
  SETTLEMENT,
  tinyWorkplace,
  trainTiny,
} from '../testing/trained.ts'
import type { ModelFacts } from './chain-facts.ts'
import { checkReceipt, type ReceiptFacts } from './check-receipt.ts'
import { openIndexes, type OpenIndex } from './open-index.ts'
import { LEAST_COSINE, openReExecution, type ReExecution } from './re-execute.ts'

/** A real answer of a tiny adapter that knows its records by heart: its receipt holds, and every change of it is named. */

const account = privateKeyToAccount(keccak('worker'))
const domain = { chainId: 1, settlement: SETTLEMENT }
/** A threshold low enough that the shortlist has several rows. */
const values = {
  ...defaultParameters(),
  'attribution.significance': 300n,
  'attribution.minShare': 0n,
}
const place = await tinyWorkplace()

let signed: SignedReceipt
/** The same answer's when the first record of that one is revoked. */
let heeding: SignedReceipt
let texts: KeptTexts
let model: ModelFacts
let index: OpenIndex
let reExecution: ReExecution
const wordsOf = (n: number) => (records[n]!.fields as { completion: string }).completion

before(async () => {
  const { base, blobs, job } = place
  const { manifest, blob } = await trainTiny(place)
  const onChain = registered(job, manifest, blob)
  const { digest } = manifest
  const { chain } = fixedChain(base.digest, digest, onChain)
  const served = await openAdapterStore({ base, chain, blobs }).index(digest, onChain)
  const source = await openGradients({
    base,
    lora: served.lora,
    session: { threads: 1 },
  })
  // The words of two records, so that two are paid for influence and for text.
  const input = { messages: [{ role: 'user' as const, content: 'Tell two rules.' }] }
  const output = `${wordsOf(11)} ${wordsOf(4)}`
  const tokens = base.tokenizer.encodeRendered(output)
  texts = { input, output, tokens }
  const prompt = base.tokenizer.encodePrompt(input)
  const fee = BigInt(prompt.length + tokens.length) * PRICE
  const split = splitFee(fee, values)
  const request = {
    requestId: keccak('request'),
    payer: contributor(99),
    base: base.digest,
    input,
    store: true,
  }
  const receiptOn = async (live: AttributionIndex) => {
    const attribution = await attribute(
      { prompt, promptText: promptText(input), tokens, text: output, ends: [] },
      live,
      { source, tokenizer: base.tokenizer },
      { pool: split.contributors, values },
    )
    return signReceipt(
      {
        request,
        outputText: output,
        outputTokens: tokens,
        promptTokens: prompt.length,
        cited: [],
        completionTokens: tokens.length,
        fee,
        split,
        paramsHash: paramsHash(values),
        modelOwner: OWNER,
        adapter: {
          digest,
          indexRoot: onChain.indexRoot,
          datanets: onChain.datanetRoots,
          attribution,
        },
      },
      account,
      domain,
    )
  }
  signed = await receiptOn(served)
  const [first] = signed.receipt.rows
  const log = emptyRevocations()
  revokeRecord(log, first!, { time: 1 })
  heeding = await receiptOn(liveIndex(served, wholeOf(log)))
  await source.release()
  model = { ...onChain, prices: [{ wei: PRICE, from: 0n, until: 2n ** 64n }] }
  const files = {
    adapterFile: (_digest: Hex, sha256: Hex) => place.blobs.get(sha256),
    manifest: async (_digest: Hex, sha256: Hex) =>
      adapterManifest.parse(JSON.parse(new TextDecoder().decode(await place.blobs.get(sha256)))),
  }
  const opened = await openIndexes(files)(manifest.digest, onChain)
  assert.ok(!(opened instanceof Error), String(opened))
  index = opened
  reExecution = openReExecution({ base: place.base, files, session: { threads: 1 } })
})
after(() => reExecution?.release())

const facts = (more: Partial<ReceiptFacts> = {}): ReceiptFacts => ({
  domain,
  values,
  model,
  index,
  texts,
  revocations: emptyRevocations(),
  isRevokedOnChain: () => true,
  ...more,
})

const none = () => ({ model, values, revocations: emptyRevocations() })

/** The receipt with a change, signed anew by the worker: it lies, and stands by it. */
async function lie(change: Partial<Receipt>, query = signed.query): Promise<SignedReceipt> {
  const receipt = { ...signed.receipt, ...change }
  return {
    receipt,
    query,
    signature: await account.signTypedData(receiptTypedData(receipt, domain)),
  }
}

const failing = async (of: SignedReceipt, more: Partial<ReceiptFacts> = {}) => [
  ...new Set(
    (await checkReceipt(of, facts(more))).filter(({ holds }) => !holds).map(({ name }) => name),
  ),
]
const rowsWith = (row: number, change: Partial<Receipt['rows'][number]>) =>
  signed.receipt.rows.map((old, i) => (i === row ? { ...old, ...change } : old))

test('every integer of an honest receipt holds, and running it again gives the same to the bit', async () => {
  assert.ok(signed.receipt.rows.length > 1)
  assert.ok(signed.receipt.rows.some(({ spans }) => spans.length > 0))
  assert.deepEqual(await failing(signed), [])
  const again = await reExecution.run(signed, texts, none())
  assert.deepEqual(
    again.map(({ name, holds }) => [name, holds]),
    [
      ['text', true],
      ['gradient', true],
    ],
  )
  assert.match(again[1]!.detail, /cosine 1\.000000/)
})

test('every lie of a worker is named', async () => {
  const { receipt } = signed
  const [first] = receipt.rows
  const lies: [string[], SignedReceipt | Promise<SignedReceipt>][] = [
    [['signature'], { ...signed, receipt: { ...receipt, time: receipt.time + 1n } }],
    [['model'], lie({ modelOwner: contributor(7) })],
    [['price'], lie({ promptTokens: receipt.promptTokens + 1 })],
    [['sums', 'shares'], lie({ unattributed: receipt.unattributed + 1n })],
    [
      ['shares'],
      lie({
        rows: rowsWith(0, { amount: first!.amount - 1n }),
        unattributed: receipt.unattributed + 1n,
      }),
    ],
    [['rows'], lie({ rows: rowsWith(0, { contributor: contributor(7) }) })],
    [['shares', 'scores'], lie({ rows: rowsWith(0, { influence: first!.influence * 2n }) })],
    [
      ['spans'],
      lie({
        rows: rowsWith(0, {
          spans: first!.spans.map((span) => ({ ...span, recordStart: span.recordStart + 1 })),
        }),
      }),
    ],
    [['answer'], lie({ outputHash: keccak('other') })],
    [['prompt'], lie({ promptHash: keccak('other') })],
    [['query'], lie({ queryHash: keccak('other') })],
  ]
  for (const [names, made] of lies)
    assert.deepEqual((await failing(await made)).toSorted(), names.toSorted(), names.join())
})

test('a row that was left out is found, however well the rest adds up', async () => {
  const without = signed.receipt.rows.slice(1)
  assert.ok((await failing(await lie({ rows: without }))).includes('omission'))
})

test('a query vector that pays somebody else is found by running the answer again', async () => {
  const vector = new Int8Array(queryBytes(signed).buffer.slice(0))
  const other = vector.map((entry, i) => (i % 7 === 0 ? -entry : entry))
  const wrong = await lie({ queryHash: keccak(new Uint8Array(other.buffer)) }, encodeQuery(other))
  const checks = await reExecution.run(wrong, texts, none())
  assert.deepEqual(
    checks.filter(({ holds }) => !holds).map(({ name }) => name),
    ['gradient'],
  )
})

test('float noise of another machine is within the tolerance', async () => {
  const vector = new Int8Array(queryBytes(signed).buffer.slice(0))
  const noisy = vector.map((entry, i) =>
    i % 50 === 0 && entry !== 0 && entry < 127 ? entry + 1 : entry,
  )
  const near = await lie({ queryHash: keccak(new Uint8Array(noisy.buffer)) }, encodeQuery(noisy))
  const [, gradient] = await reExecution.run(near, texts, none())
  assert.ok(gradient!.holds, `${gradient!.detail}, at least ${LEAST_COSINE}`)
})

test('text credits that the answer does not have are found by running it again', async () => {
  const { covered, rows } = signed.receipt
  for (const change of [
    { covered: covered + 1n },
    { rows: rowsWith(0, { text: rows[0]!.text + 1n }) },
  ]) {
    const [text] = await reExecution.run(await lie(change), texts, none())
    assert.deepEqual([text!.name, text!.holds], ['text', false])
  }
  const padded = { ...texts, tokens: [...texts.tokens, 5, 5, 5] }
  const [answer] = await reExecution.run(signed, padded, none())
  assert.deepEqual([answer!.name, answer!.holds], ['answer', false])
})

const logOf = (at: number, key: RecordKey) => {
  const log = emptyRevocations()
  revokeRecord(log, key, { time: at })
  return log
}

test('what was revoked before an answer is not paid; what was revoked about then may be; later does not matter', async () => {
  const { receipt } = signed
  const [first] = receipt.rows
  const time = Number(receipt.time)
  const before = logOf(time - 301, first!)
  const about = logOf(time - 10, first!)
  assert.deepEqual(await failing(signed, { revocations: before }), ['revoked'])
  for (const revocations of [about, logOf(time + 1_000, first!)])
    assert.deepEqual(await failing(signed, { revocations }), [])
  const someone = logOf(time - 1_000, { record: first!.record, contributor: contributor(77) })
  assert.deepEqual(await failing(signed, { revocations: someone }), [])

  // Without it the receipt is another one: whoever heeded the log is right, and before that they would have been wrong.
  assert.ok(heeding.receipt.rows.every(({ record }) => record !== first!.record))
  for (const [revocations, text] of [
    [before, true],
    [about, true],
    [emptyRevocations(), false],
  ] as const) {
    const failed = await failing(heeding, { revocations })
    assert.deepEqual(failed, text ? [] : ['omission'])
    const [checked] = await reExecution.run(heeding, texts, { model, values, revocations })
    assert.deepEqual([checked!.name, checked!.holds], ['text', text])
  }
  // An entry of the log that no contributor signed excuses nothing.
  assert.deepEqual(await failing(heeding, { revocations: before, isRevokedOnChain: () => false }), [
    'omission',
  ])
  const [listed] = await reExecution.run(signed, texts, { model, values, revocations: before })
  assert.equal(listed!.holds, false)
})

test('a citation of a revoked record is named', async () => {
  const { record, contributor: who, cluster } = signed.receipt.rows[0]!
  const revocations = emptyRevocations()
  revokeRecord(revocations, { record, contributor: who }, { time: 1, reason: 'penalized' })
  const citation = { record, cluster, contributor: who, datanet: keccak('root'), amount: 0n }
  const checks = await checkReceipt(
    await lie({ rows: [], citations: [citation] }),
    facts({ revocations }),
  )
  const found = checks.find(({ name }) => name === 'revoked')
  assert.match(found!.detail, /citation 0: record 0x[0-9a-f]{64} was penalized at 1/)
})

test('unknown parameters, an unregistered model and an index that is nowhere are said, not thrown', async () => {
  assert.deepEqual(await failing(signed, { values: null }), ['parameters'])
  assert.deepEqual(await failing(signed, { model: null }), ['model'])
  assert.deepEqual(await failing(signed, { index: new Error('gone') }), ['index'])
  assert.deepEqual(await failing(await lie({ methodVersion: 99 })), ['shares'])
})

test('an index with one bit changed is refused', async () => {
  const flipped = openIndexes({
    adapterFile: async (_digest, sha256) => {
      const bytes = Uint8Array.from(await place.blobs.get(sha256))
      bytes[bytes.length >> 1]! ^= 1
      return bytes
    },
    manifest: async (_digest, sha256) =>
      adapterManifest.parse(JSON.parse(new TextDecoder().decode(await place.blobs.get(sha256)))),
  })
  assert.ok(
    (await flipped(signed.receipt.adapter, {
      ...model,
      manifestHash: model.manifestHash,
    })) instanceof Error,
  )
  assert.equal(OWNER, signed.receipt.modelOwner)
  assert.notEqual(signed.receipt.adapter, ZERO_HASH)
})
