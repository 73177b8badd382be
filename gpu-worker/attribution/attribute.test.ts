import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { EdgeError, sha256Of } from '../blobs.ts'
import { openAdapterStore } from '../serving/adapter-store.ts'
import type { ServingError } from '../serving/serving-error.ts'
import { versionRowOf } from '../testing/datanet.ts'
import {
  fixedChain,
  method,
  OWNER,
  recordHash,
  records,
  registered,
  tinyWorkplace,
  trainTiny,
} from '../testing/trained.ts'
import { defaultParameters } from '#protocol/parameters.ts'
import { attribute, type Response } from './attribute.ts'
import { openGradients } from './gradients.ts'
import { rowTokens, withoutRows } from './span-index.ts'

const place = await tinyWorkplace()
const { base, blobs } = place
const { manifest, blob } = await trainTiny(place)
const onChain = registered(place.job, manifest, blob)
const { chain } = fixedChain(base.digest, manifest.digest, onChain)
const served = await openAdapterStore({ base, chain, blobs }).index(manifest.digest, onChain)
const { config, tokenizer } = base
const source = await openGradients({
  base,
  lora: served.lora,
  session: { threads: 1 },
})
after(source.release)
const pool = 10n ** 12n + 3n
const values = defaultParameters()

const response = (promptText: string, text: string): Response => {
  const tokens = tokenizer.encodeRendered(text)
  const ends = tokens.slice(0, 64).map((_, i) => tokenizer.decode(tokens.slice(0, i + 1)).length)
  const prompt = tokenizer.encodePrompt({ messages: [{ role: 'user', content: promptText }] })
  return { prompt, promptText, tokens, text, ends }
}
const paid = (answer: Response, index: Pick<typeof served, 'index' | 'spans'> = served) =>
  attribute(answer, index, { source, tokenizer }, { pool, values })
const sumOf = ({ rows, unattributed }: Awaited<ReturnType<typeof paid>>) =>
  rows.reduce((n, { amount }) => n + amount, 0n) + unattributed
const fields = (n: number) => records[n]!.fields as { prompt: string; completion: string }

test('an answer that recites a record pays its contributor', async () => {
  const found = await paid(response(fields(7).prompt, fields(7).completion))
  assert.equal(found.rows[0]?.record, recordHash(7))
  assert.ok(found.rows[0].amount > 0n)
  assert.equal(sumOf(found), pool)
})

test('what an answer repeats of its prompt earns nothing, by words or by influence', async () => {
  const asked = fields(7).completion
  assert.equal((await paid(response(asked, asked))).unattributed, pool)
  // What comes after the repetition is attributed as it would be without it.
  const more = await paid(response(asked, `${asked} ${fields(4).completion}`))
  assert.equal(more.rows[0]?.record, recordHash(4))
  assert.ok(more.rows.every(({ record, amount }) => record !== recordHash(7) || amount === 0n))
})

test('an empty answer pays the base pool alone', async () => {
  const found = await paid(response(fields(7).prompt, ''))
  assert.deepEqual([found.rows, found.unattributed], [[], pool])
})

test('an answer of one token is attributed, with or without a prompt', async () => {
  const [first = 0] = tokenizer.encodeRendered(fields(7).completion)
  const one = { ...response(fields(7).prompt, ''), tokens: [first], text: 'R', ends: [1] }
  assert.equal(sumOf(await paid(one)), pool)
  const bare = await paid({ ...one, prompt: [], promptText: '' })
  assert.equal(bare.unattributed, pool)
})

test('of an answer longer than the context the end is attributed', async () => {
  const { completion, prompt } = fields(7)
  const times = Math.ceil(config.positions / tokenizer.encodeRendered(completion).length)
  const answer = response(prompt, completion.repeat(times))
  assert.ok(answer.prompt.length + answer.tokens.length > config.positions)
  const found = await paid(answer)
  assert.equal(sumOf(found), pool)
  assert.equal(found.rows[0]?.record, recordHash(7))
})

test('a revoked record is not paid, whatever the answer repeats of it', async () => {
  const row = served.index.index.rows.findIndex(({ record }) => record === recordHash(7))
  const spans = withoutRows(served.spans, new Set([row]))
  const found = await paid(response(fields(7).prompt, fields(7).completion), { ...served, spans })
  assert.ok(found.rows.every(({ record }) => record !== recordHash(7)))
  assert.equal(sumOf(found), pool)
})

test('a gradient that is not finite pays by words alone', async () => {
  const broken = {
    ...source,
    gradients: async (...args: Parameters<typeof source.gradients>) =>
      (await source.gradients(...args)).fill(Number.NaN),
  }
  const answer = response(fields(7).prompt, fields(7).completion)
  const found = await attribute(answer, served, { source: broken, tokenizer }, { pool, values })
  assert.deepEqual(
    found.rows.map(({ record }) => record),
    [recordHash(7)],
  )
  assert.ok(found.rows.every(({ influence, text }) => text > 0n || influence <= 0n))
  assert.equal(sumOf(found), pool)
})

test('an index whose bytes were changed on the way is not served', async () => {
  const projection = manifest.files['index/landmarks.i8'].sha256
  const changed = {
    ...blobs,
    get: async (sha256: typeof projection) => {
      const bytes = await blobs.get(sha256)
      return sha256 === projection ? bytes.map((byte, i) => (i === 9 ? byte ^ 1 : byte)) : bytes
    },
  }
  assert.notEqual(sha256Of(await changed.get(projection)), projection)
  const store = openAdapterStore({ base, chain, blobs: changed })
  await assert.rejects(store.index(manifest.digest, onChain), /not what the chain says/)
})

test('an adapter is not served without every file of its index', async () => {
  const names = Object.keys(manifest.files).filter((name) => name.startsWith('index/'))
  assert.equal(names.length, 5)
  for (const name of names as (keyof typeof manifest.files)[]) {
    const without = {
      ...blobs,
      get: async (sha256: typeof manifest.digest) => {
        if (sha256 === manifest.files[name].sha256) throw new EdgeError(404, 'no such blob')
        return blobs.get(sha256)
      },
    }
    const store = openAdapterStore({ base, chain, blobs: without })
    await assert.rejects(store.index(manifest.digest, onChain), (error: ServingError) => {
      assert.equal(error.code, 'model/unavailable', name)
      return true
    })
  }
})

test('of a record longer than the context the beginning is trained on, and it alone is attributed', async () => {
  const facts = records.map((_, n) => fields(n).completion).join(' ')
  const long = {
    fields: { text: `${facts} ${facts}`.replaceAll('Rule', 'Law') },
    contributor: OWNER,
  }
  const whole = tokenizer.encodeRendered(long.fields.text)
  assert.ok(whole.length > config.positions)
  const other = await tinyWorkplace([...records, long])
  const trained = await trainTiny(other)
  const adapter = registered(other.job, trained.manifest, trained.blob)
  const { chain: ofOther } = fixedChain(base.digest, trained.manifest.digest, adapter)
  const store = openAdapterStore({ base, chain: ofOther, blobs: other.blobs })
  const indexes = await store.index(trained.manifest.digest, adapter)
  const hash = versionRowOf(long).record
  const row = indexes.index.index.rows.findIndex(({ record }) => record === hash)
  const { tokens } = indexes.index.index.rows[row]!
  assert.ok(tokens > 0 && tokens <= method.sequenceLength)
  assert.deepEqual(rowTokens(indexes.spans, row), whole.slice(0, tokens))

  const recite = (from: number, to: number) =>
    paid({ ...response('', ''), tokens: whole.slice(from, to), text: '', ends: [] }, indexes)
  const beginning = await recite(0, 40)
  assert.ok(beginning.rows.some(({ record, text }) => record === hash && text > 0n))
  assert.equal(sumOf(beginning), pool)
  const end = await recite(whole.length - 20, whole.length)
  assert.ok(end.rows.every(({ record, text }) => record !== hash || text === 0n))
  assert.equal(sumOf(end), pool)
})
