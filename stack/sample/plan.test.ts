import assert from 'node:assert/strict'
import test from 'node:test'
import { filesOf, planFor, samplePlan } from './plan.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const textOf = (body: string | Uint8Array) =>
  typeof body === 'string' ? body : new TextDecoder().decode(body)

test('a large JSONL file is cut at line ends into parts that the API takes, and nothing is lost', () => {
  const line = `${JSON.stringify({ text: 'x'.repeat(1_000) })}\n`
  const text = line.repeat(9_000)
  const files = filesOf('data.jsonl', bytesOf(text))
  assert.equal(files.length, 3)
  assert.equal(files.map(({ body }) => textOf(body)).join(''), text)
  for (const { body, type } of files) {
    assert.equal(type, 'application/x-ndjson')
    assert.ok(textOf(body).length <= 5 * 2 ** 20)
    assert.ok(textOf(body).endsWith('}\n'))
  }
})

test('a small file stays as it is, under the content type of its name', () => {
  const bytes = bytesOf('question,answer\na,b\n')
  const [file] = filesOf('Data.CSV', bytes)
  assert.equal(file?.type, 'text/csv')
  assert.deepEqual(file?.body, bytes)
})

test('what cannot be handed in is refused by name', () => {
  assert.throws(() => filesOf('movie.mp4', bytesOf('x')), /movie\.mp4: expected one of \.jsonl/)
  assert.throws(
    () => filesOf('big.csv', bytesOf('a,b\n'.repeat(2 ** 21))),
    /big\.csv has 8388608 bytes/,
  )
  assert.throws(
    () => filesOf('long.txt', bytesOf('x'.repeat(5 * 2 ** 20))),
    /long\.txt has a line of over/,
  )
})

test('the sample asks what some of its records answer', () => {
  const { questions, contributors } = samplePlan(1)
  const handedIn = contributors
    .flatMap(({ files }) => files.map(({ body }) => textOf(body)))
    .join('')
  for (const question of questions) assert.ok(handedIn.includes(JSON.stringify(question)), question)
})

test('a journey that is run again takes new names', () => {
  assert.equal(samplePlan(1).datanet.slug, 'licence-clauses')
  assert.equal(samplePlan(2).datanet.slug, 'licence-clauses-2')
  const own = planFor({ path: '/tmp/a.txt', bytes: bytesOf('x'), name: 'Über uns!', run: 3 })
  assert.equal(own.datanet.slug, 'uber-uns-3')
  assert.equal(own.contributors.length, 1)
})
