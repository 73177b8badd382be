import assert from 'node:assert/strict'
import test from 'node:test'
import { planFor, samplePlan } from './plan.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const textOf = (body: string | Uint8Array) =>
  typeof body === 'string' ? body : new TextDecoder().decode(body)

test('a file of one’s own is handed in as it is, and refused by its name', () => {
  const bytes = bytesOf('question,answer\na,b\n')
  const [contributor] = planFor({ path: 'Data.CSV', bytes, name: 'data', run: 1 }).contributors
  assert.deepEqual(
    contributor?.files.map(({ type, body }) => [type, textOf(body)]),
    [['text/csv', textOf(bytes)]],
  )
  assert.throws(
    () => planFor({ path: 'movie.mp4', bytes, name: 'movie', run: 1 }),
    /movie\.mp4: its name has to end in jsonl/,
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
