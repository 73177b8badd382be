import assert from 'node:assert/strict'
import test from 'node:test'
import { privateKeyToAccount } from 'viem/accounts'
import { keccak, ZERO_HASH } from '#protocol/bytes.ts'
import { receiptFault, receiptSigner } from '#protocol/receipt.ts'
import { emptyRevocations } from '#protocol/revocations.ts'
import { splitFee } from '#protocol/score.ts'
import { sharesFault } from '#protocol/shares.ts'
import { generateRequest, type GenerateEvent } from '#protocol/generation.ts'
import { promptHash } from '../attribution/receipt.ts'
import { revokeRecord } from '../testing/revocations.ts'
import {
  contributor,
  fixedChain,
  OWNER,
  PRICE,
  recordHash,
  records,
  registered,
  SETTLEMENT,
  tinyWorkplace,
  trainTiny,
} from '../testing/trained.ts'
import { openInference } from './inference-service.ts'

const place = await tinyWorkplace()
const { manifest, blob } = await trainTiny(place)
const { chain, state } = fixedChain(
  place.base.digest,
  manifest.digest,
  registered(place.job, manifest, blob),
)
const account = privateKeyToAccount(keccak('worker'))
const domain = { chainId: 1, settlement: SETTLEMENT }
const revocations = emptyRevocations()
const options = {
  base: place.base,
  session: { threads: 1 },
  chain,
  revocations: { current: async () => revocations },
  blobs: place.blobs,
  account,
  domain,
  revocationPollMs: 1,
}
const service = await openInference(options)
const adapter = { digest: manifest.digest, manifest: blob.sha256 }
const fieldsOf = (n: number) => records[n]!.fields as { prompt: string; completion: string }

const code = (code: string) => (error: { code?: string }) => error.code === code

async function ask(change: object = {}, asked = service) {
  const events: GenerateEvent[] = []
  const request = generateRequest.parse({
    requestId: keccak('request'),
    payer: contributor(99),
    base: place.base.digest,
    adapter,
    input: { messages: [{ role: 'user', content: fieldsOf(11).prompt }] },
    maxTokens: 40,
    temperature: 0,
    ...change,
  })
  await asked.answer(request, (event) => events.push(event), {
    gone: new AbortController().signal,
  })
  const text = events.map((event) => (event.type === 'token' ? event.text : '')).join('')
  const end = events.find((event) => event.type === 'end')!
  const receipt = events.find((event) => event.type === 'receipt')!
  return { events, text, end, ...receipt }
}

test('the record that the adapter repeats is paid first, with its words shown in both texts', async () => {
  const { text, receipt, explanation } = await ask()
  assert.equal(text, fieldsOf(11).completion)
  const [first] = receipt.rows
  assert.equal(first?.record, recordHash(11))
  assert.equal(first?.contributor, records[11]!.contributor)
  assert.ok(first!.significance > 5_000n && first!.text > 0n)
  assert.deepEqual(explanation.rows[0]?.spans, [{ start: 0, end: text.length, text }])
  assert.equal(explanation.rows[0]?.snippet, text)
  assert.deepEqual(explanation.rows[0]?.highlights, [{ start: 0, end: text.length }])
})

test('the receipt is signed by the worker, holds to the wei and names what was answered', async () => {
  const { text, end, receipt, signature, explanation } = await ask()
  assert.equal((await receiptSigner({ receipt, signature }, domain)).toLowerCase(), receipt.worker)
  assert.equal(receipt.worker, account.address.toLowerCase())
  assert.equal(receiptFault(receipt), null)
  assert.equal(receipt.fee, BigInt(end.promptTokens + end.completionTokens) * PRICE)
  const split = splitFee(receipt.fee, state.parameters)
  const rows = receipt.rows.reduce((n, { amount }) => n + amount, 0n)
  assert.equal(rows + receipt.unattributed, split.contributors)
  assert.equal(receipt.outputHash, keccak(text))
  assert.deepEqual(receipt.datanets, [place.job.datanets[0]!.root])
  assert.deepEqual([receipt.adapter, receipt.indexRoot], [manifest.digest, manifest.indexRoot])
  assert.deepEqual([receipt.modelOwner, receipt.payer], [OWNER, contributor(99)])
  const shares = explanation.rows.reduce((n, { share }) => n + share, 0)
  assert.equal(shares + explanation.unattributed, 1_000_000)
})

test('the same request gives the same receipt, but for the time', async () => {
  const [a, b] = [await ask({ seed: 3, temperature: 1 }), await ask({ seed: 3, temperature: 1 })]
  assert.deepEqual({ ...a.receipt, time: 0n }, { ...b.receipt, time: 0n })
})

for (const format of ['int8', 'int4'] as const)
  test(`an answer of a base in ${format} is attributed as the same answer of the float32 base`, async () => {
    const quantized = await openInference({ ...options, format })
    const [a, b] = [await ask(), await ask({}, quantized)]
    assert.equal(b.text, a.text)
    assert.deepEqual({ ...b.receipt, time: 0n }, { ...a.receipt, time: 0n })
  })

test('words that stand in the prompt earn no text credit', async () => {
  const { completion, prompt } = fieldsOf(11)
  const { text, receipt } = await ask({
    input: { messages: [{ role: 'user', content: `${prompt} ${completion.toUpperCase()}` }] },
  })
  assert.ok(text.length > 0)
  assert.ok(receipt.rows.every((row) => row.record !== recordHash(11) || row.text === 0n))
})

test('the bare base answers without rows, and its owner gets the contributors’ part', async () => {
  const { receipt, explanation } = await ask({ adapter: undefined })
  const split = splitFee(receipt.fee, state.parameters)
  assert.deepEqual([receipt.rows, receipt.datanets, receipt.unattributed], [[], [], 0n])
  assert.deepEqual([receipt.adapter, receipt.queryHash], [ZERO_HASH, ZERO_HASH])
  assert.equal(receipt.model, split.model + split.contributors)
  assert.deepEqual(explanation.rows, [])
})

test('an answer of no words has a receipt that pays nobody by score', async () => {
  const { text, end, receipt } = await ask({ stop: ['Rule'] })
  assert.equal(text, '')
  assert.equal(end.finishReason, 'stop')
  assert.deepEqual(receipt.rows, [])
  assert.equal(receiptFault(receipt), null)
})

test('a free adapter still says whose records shaped the answer', async () => {
  state.adapter = { ...state.adapter, pricePerToken: 0n }
  const { receipt, explanation } = await ask()
  state.adapter = { ...state.adapter, pricePerToken: PRICE }
  assert.equal(receipt.fee, 0n)
  assert.equal(receipt.rows[0]?.record, recordHash(11))
  assert.ok(explanation.rows[0]!.share > 0)
})

test('the governed threshold decides who is paid by influence', async () => {
  state.parameters = {
    ...state.parameters,
    'attribution.significance': 10n ** 9n,
    'attribution.textCap': 0n,
  }
  const { receipt } = await ask()
  state.parameters = {
    ...state.parameters,
    'attribution.significance': 2_000n,
    'attribution.textCap': 500_000n,
  }
  assert.ok(receipt.rows.every(({ amount }) => amount === 0n))
  assert.equal(receipt.unattributed, splitFee(receipt.fee, state.parameters).contributors)
})

test('what the chain does not know, has revoked, or knows otherwise is refused by code', async () => {
  await assert.rejects(ask({ base: keccak('other') }), code('model/unavailable'))
  await assert.rejects(
    ask({ adapter: { ...adapter, digest: keccak('other') } }),
    code('model/not-found'),
  )
  await assert.rejects(
    ask({ adapter: { ...adapter, manifest: keccak('other') } }),
    code('model/digest-mismatch'),
  )
  const input = { prompt: 'word '.repeat(1000) }
  await assert.rejects(ask({ input }), code('model/context-exceeded'))
  state.adapter = { ...state.adapter, revoked: true }
  await assert.rejects(ask(), code('model/revoked'))
  state.adapter = { ...state.adapter, revoked: false }
  assert.equal((await ask()).text, fieldsOf(11).completion)
})

test('an adapter that is revoked while it answers stops, and nothing is signed', async () => {
  const events: GenerateEvent[] = []
  const request = generateRequest.parse({
    requestId: keccak('request'),
    payer: contributor(99),
    base: place.base.digest,
    adapter,
    input: { prompt: 'Rule' },
    maxTokens: 240,
    logitBias: Object.fromEntries([...place.base.tokenizer.special].map((id) => [id, -100])),
  })
  const revoke = (event: GenerateEvent) => {
    events.push(event)
    state.adapter = { ...state.adapter, revoked: true }
  }
  const answer = service.answer(request, revoke, { gone: new AbortController().signal })
  await assert.rejects(answer, code('model/revoked'))
  state.adapter = { ...state.adapter, revoked: false }
  assert.ok(events.every(({ type }) => type === 'token'))
  assert.equal(service.status().active, 0)
})

test('an answer whose index is not the chain’s is cut short, and nothing is signed', async () => {
  const { sha256 } = manifest.files['index/vectors.i8']
  const tampered = Uint8Array.from(await place.blobs.get(sha256))
  tampered[0]! ^= 1
  const other = await openInference({
    base: place.base,
    session: { threads: 1 },
    chain,
    blobs: { get: async (asked) => (asked === sha256 ? tampered : place.blobs.get(asked)) },
    revocations: { current: async () => revocations },
    account,
    domain,
  })
  const request = generateRequest.parse({
    requestId: keccak('request'),
    payer: contributor(99),
    base: place.base.digest,
    adapter,
    input: { prompt: 'Rule' },
    maxTokens: 240,
    logitBias: Object.fromEntries([...place.base.tokenizer.special].map((id) => [id, -100])),
  })
  const events: GenerateEvent[] = []
  const answer = other.answer(request, (event) => events.push(event), {
    gone: new AbortController().signal,
  })
  await assert.rejects(answer, code('model/digest-mismatch'))
  assert.ok(events.length < 240 && events.every(({ type }) => type === 'token'))
  assert.equal(other.status().active, 0)
})

test('log-probabilities are told with the text, as text', async () => {
  const { events, text } = await ask({ logprobs: 2 })
  const told = events.flatMap((event) => (event.type === 'token' ? (event.logprobs ?? []) : []))
  assert.equal(told.map(({ token }) => token).join(''), text)
  assert.ok(told.every(({ logprob, top }) => top.length === 2 && top[0]!.logprob === logprob))
})

test('a stored query vector tells of every record what the receipt says of those that it lists', async () => {
  const { receipt, query, tokens } = await ask()
  const asked = {
    base: place.base.digest,
    adapter,
    query,
    time: Number(receipt.time),
    texts: { prompt: fieldsOf(11).prompt, tokens },
    records: records.map((_, n) => recordHash(n)),
    clusters: [],
    limit: 100,
  }
  const { rows, selected, evidence } = await service.explain(asked)
  assert.deepEqual([selected, evidence.length], [rows, rows])
  assert.deepEqual(
    evidence.map(({ rank }) => rank),
    evidence.map((_, i) => i + 1),
  )
  for (const row of receipt.rows) {
    const found = evidence.find(({ record }) => record === row.record)!
    const { cluster, contributor: owner, influence, significance, text } = row
    assert.deepEqual(
      [found.cluster, found.contributor, found.influence, found.significance, found.text],
      [cluster, owner, influence, significance, text],
    )
    assert.deepEqual(
      found.spans?.filter(({ verdict }) => verdict === 'credited').map((span) => span.outputStart),
      row.spans.map((span) => span.outputStart),
    )
  }
  const [listed, unlisted] = [receipt.rows[0]!.record, evidence.at(-1)!.record]
  assert.ok(evidence.at(-1)!.influence < receipt.rows[0]!.influence)
  assert.notEqual(listed, unlisted)

  const theirs = await service.explain({
    ...asked,
    records: [],
    contributor: contributor(1),
    texts: null,
    limit: 1,
  })
  assert.ok(theirs.selected >= 2)
  assert.equal(theirs.evidence.length, 1)
  assert.deepEqual([theirs.evidence[0]?.text, theirs.evidence[0]?.spans], [null, null])

  // Had the words stood in the prompt, that would be the reason.
  const echoed = await service.explain({
    ...asked,
    records: [listed],
    texts: { prompt: fieldsOf(11).completion, tokens },
  })
  assert.deepEqual(
    echoed.evidence.flatMap(({ spans }) => spans?.map(({ verdict }) => verdict)),
    ['prompt_echo'],
  )
  await assert.rejects(service.explain({ ...asked, query: '' }), /0 dimensions/)
})

const retrieval = { versions: place.job.datanets, topK: 2 }

test('what a request retrieves is quoted to the model, cited, and paid from its own share', async () => {
  const { receipt, explanation, input } = await ask({ retrieval })
  const { citations } = receipt
  assert.equal(citations[0]?.record, recordHash(11)) // its words are those of the question
  assert.equal(citations[0]?.contributor, records[11]!.contributor)
  assert.ok(citations.every(({ datanet }) => datanet === place.job.datanets[0]!.root))
  const split = splitFee(receipt.fee, state.parameters, citations.length)
  assert.equal(receipt.retrieval, split.retrieval)
  assert.deepEqual([receiptFault(receipt), sharesFault(receipt, state.parameters)], [null, null])
  assert.deepEqual(
    explanation.citations?.map(({ record, contributor: who }) => [record, who]),
    citations.map(({ record, contributor: who }) => [record, who]),
  )
  assert.ok(input && 'messages' in input && input.messages[0]?.role === 'system')
  assert.ok(input.messages[0].content.includes(fieldsOf(11).completion))
  assert.equal(receipt.promptHash, promptHash(input))
  // What the records said and the answer repeats is no verbatim memory.
  assert.deepEqual(
    receipt.rows.filter(({ record, text }) => record === citations[0]?.record && text > 0n),
    [],
  )
})

test('a bare base retrieves too, and nothing is cited where nothing fits or nothing was asked', async () => {
  const { receipt } = await ask({ retrieval, adapter: undefined })
  assert.ok(receipt.citations.length > 0 && receipt.retrieval > 0n)
  assert.equal(sharesFault(receipt, state.parameters), null)
  const zebra = { messages: [{ role: 'user', content: 'zebra' }] }
  for (const change of [{ retrieval, input: zebra }, { retrieval: undefined }]) {
    const { receipt: without, explanation, input } = await ask(change)
    assert.deepEqual([without.citations, without.retrieval], [[], 0n])
    assert.deepEqual([explanation.citations, input], [undefined, undefined])
  }
})

test('a Datanet version that is not what its root says is never quoted', async () => {
  const [version] = place.job.datanets
  const versions = [{ ...version!, root: keccak('another root') }]
  await assert.rejects(ask({ retrieval: { versions, topK: 1 } }), code('retrieval/failed'))
})

test('with sentences asked for, each names the records that shaped it, and money stays as it was', async () => {
  const whole = await ask()
  const { text, receipt, explanation } = await ask({ sentences: true })
  assert.equal(whole.explanation.sentences, undefined)
  assert.deepEqual(receipt.rows, whole.receipt.rows)
  const [only, ...more] = explanation.sentences!
  assert.deepEqual([only!.start, only!.end, more], [0, text.length, []])
  assert.equal(only!.rows[0]?.record, recordHash(11))
  assert.equal(only!.rows[0]?.contributor, records[11]!.contributor)
})

test('a revoked record is neither paid nor cited from then on, and why-not keeps its numbers', async () => {
  const before = await ask()
  assert.equal(before.receipt.rows[0]?.record, recordHash(11))
  const key = { record: recordHash(11), contributor: records[11]!.contributor }
  const time = Number(before.receipt.time) + 1
  revokeRecord(revocations, { ...key, contributor: contributor(77) }, { time }) // somebody else's
  assert.deepEqual((await ask()).receipt.rows, before.receipt.rows)

  revokeRecord(revocations, key, { time })
  const { text, receipt, query, tokens } = await ask()
  assert.equal(text, fieldsOf(11).completion) // the model knows what it knows
  assert.ok(receipt.rows.every(({ record }) => record !== recordHash(11)))
  assert.deepEqual([receiptFault(receipt), sharesFault(receipt, state.parameters)], [null, null])
  const { receipt: retrieved } = await ask({ retrieval: { ...retrieval, topK: 12 } })
  assert.ok(retrieved.citations.length > 0)
  assert.ok(retrieved.citations.every(({ record }) => record !== recordHash(11)))

  const evidenceAt = async (at: number) => {
    const { evidence } = await service.explain({
      base: place.base.digest,
      adapter,
      query,
      time: at,
      texts: { prompt: fieldsOf(11).prompt, tokens },
      records: [recordHash(11)],
      clusters: [],
      limit: 1,
    })
    return evidence[0]!
  }
  const [then, now] = [await evidenceAt(time - 1), await evidenceAt(time)]
  assert.deepEqual([then.influence, then.rank], [now.influence, now.rank])
  assert.ok(then.text! > 0n)
  assert.equal(now.text, 0n)
  assert.ok(now.spans!.length > 0)
})
