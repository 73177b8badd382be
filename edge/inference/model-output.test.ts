import assert from 'node:assert/strict'
import test, { after, before, beforeEach } from 'node:test'
import type { Env } from '../env.ts'
import { INBOXES } from '../settlement/epoch-tables.ts'
import { contributeRecords, createDatanet } from '../testing/datanets.ts'
import { eventually } from '../testing/harness.ts'
import { startInference, type Inference } from '../testing/inference.ts'

/** From an answer to the verdict on whoever hands it in: real edge, real D1, a stand-in for the model's words. */

let stack: Inference
before(async () => {
  stack = await startInference()
})
after(() => stack?.stop())
beforeEach(async () => {
  await stack.announce()
})

/** Some forty words, of which no thirteen in a row stand in another topic's. */
const advice = (topic: string): string =>
  `Whoever rents a flat and asks about the ${topic} has to write down what the ${topic} does, show the ${topic} to ` +
  `the landlord, wait a month, and may then leave the ${topic} and the flat without paying for either.`

const database = async () => ((await stack.edge.worker.getEnv()) as unknown as Env).DB

/** What is known of answers. */
const known = async (): Promise<object[]> =>
  (await (await database()).prepare('SELECT * FROM answer_windows ORDER BY window').all()).results

/** Has the model answer. */
async function ask(text: string, { prompt = 'Hi', store = true } = {}): Promise<void> {
  const { worker, client, model } = stack
  worker.behave({ texts: text.split(/(?= )/) })
  const messages = [{ role: 'user' as const, content: prompt }]
  const said = await client().chat.completions.create({ model, messages, store })
  assert.equal(said.choices[0]!.message.content, text)
}

const rename = async (from: string, to: string) =>
  (await database()).prepare(`ALTER TABLE ${from} RENAME TO ${to}`).run()

/** Rows of all inboxes: receipts on their way, or fingerprints of answers. */
async function inboxRows(table: 'receipt' | 'answer'): Promise<number> {
  let rows = 0
  for (let i = 0; i < INBOXES; i++) {
    const inbox = await stack.edge.worker.getDurableObjectStorage('INBOXES', { name: String(i) })
    rows += (await inbox.exec(`SELECT * FROM ${table}`)).length
  }
  return rows
}

const forwarded = (table: 'receipt' | 'answer') =>
  eventually(async () => (await inboxRows(table)) === 0)

/** The same, until what is to be known of the answer is. */
async function answer(...asked: Parameters<typeof ask>): Promise<void> {
  await ask(...asked)
  await forwarded('answer')
}

/** What a new Datanet says of a record. */
async function verdictOn(record: object) {
  const { edge, owner } = stack
  const { id } = await contributeRecords(edge, owner, await createDatanet(edge, owner), [record])
  const response = await edge.fetch(`/v1/contributions/${id}/records`, { headers: owner.headers })
  type Shown = { verdict: string; reasons: string[]; model_output: number; evidence: object | null }
  const { verdict, reasons, model_output, evidence } = (
    (await response.json()) as { data: [Shown] }
  ).data[0]
  return { verdict, reasons, model_output, evidence }
}

const REVIEWED = {
  verdict: 'needs_review',
  reasons: ['MODEL_OUTPUT'],
  model_output: 1,
  evidence: null,
}
const ACCEPTED = { verdict: 'accepted', reasons: [], model_output: 0, evidence: null }

test('an answer that is handed in as a record goes to review, and nothing tells whose it was', async () => {
  const text = advice('heating')
  await answer(text)
  const rows = await known()
  assert.ok(rows.length > 0 && rows.length <= 15, String(rows.length))
  assert.deepEqual(Object.keys(rows[0]!), ['window', 'given_at'])
  assert.deepEqual(await verdictOn({ text }), REVIEWED)
  assert.deepEqual(await verdictOn({ prompt: 'What may I do?', completion: text }), REVIEWED)
  assert.deepEqual(await verdictOn({ text: advice('doorbell') }), ACCEPTED)
})

test('that the texts are not to be kept is no way around it', async () => {
  const text = advice('lift')
  await answer(text, { store: false })
  assert.deepEqual(await verdictOn({ text }), REVIEWED)
})

test('the same answer again adds nothing', async () => {
  await answer(advice('roof'))
  const once = await known()
  await answer(advice('roof'))
  assert.deepEqual(await known(), once)
})

test('what the model was given to read and repeats is not its own', async () => {
  const text = advice('cellar')
  const before = await known()
  await answer(text, { prompt: `Please repeat: ${text}` })
  assert.deepEqual(await known(), before)
  assert.deepEqual(await verdictOn({ text }), ACCEPTED)
})

test('a record that came before the answer is not touched, however late it is judged', async () => {
  const text = advice('balcony')
  await answer(text)
  const day = 86_400_000
  const move = (await database()).prepare('UPDATE answer_windows SET given_at = given_at + ?')
  await move.bind(day).run()
  assert.deepEqual(await verdictOn({ text }), ACCEPTED)
  await move.bind(-day).run()
})

test('a recital of a record adds nothing either', async () => {
  const text = advice('staircase')
  assert.deepEqual(await verdictOn({ text }), ACCEPTED)
  const before = await known()
  await answer(text)
  assert.deepEqual(await known(), before)
  assert.deepEqual(await verdictOn({ text }), ACCEPTED)
})

test('an index that cannot be written holds no receipt up, and gets to know the answer later', async () => {
  const text = advice('chimney')
  const before = await known()
  await rename('answer_windows', 'away')
  try {
    await ask(text)
    await forwarded('receipt')
    assert.equal(await inboxRows('answer'), 1)
  } finally {
    await rename('away', 'answer_windows')
  }
  await forwarded('answer')
  assert.ok((await known()).length > before.length)
  assert.deepEqual(await verdictOn({ text }), REVIEWED)
})
