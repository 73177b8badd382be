/** Records that are what a model said: the same words, parts of them, and what must not be taken for it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { RecordFields } from '#protocol/wire.ts'
import { createMemoryIndex, type MemoryIndex } from './dedup-index.ts'
import { answerWindows } from './candidates.ts'
import { pipelineHash, runPipeline, type PipelineRecord } from './pipeline.ts'
import { DEFAULT_PROFILE, type Profile } from './profile.ts'

const ANSWER =
  'The tenant may leave the flat before the end of the lease when the landlord has not repaired the heating within ' +
  'a month of the first written complaint. He has to say so in a letter, keep a copy of it, and hand the keys over ' +
  'on the day that he names there. What he paid in advance for later months comes back to him within two weeks.'
const OWN_WORDS =
  'My neighbour asked a lawyer about this last winter, after three cold weeks and a bill that nobody could explain. ' +
  'She was told to write everything down, to take photographs of the meter each morning, and to stay polite on the ' +
  'telephone, because a judge reads what both sides wrote and believes whoever stayed calm for longer.'
const SHORT = 'Keys go back to the landlord on the last day of the lease.' // one window
const SHORTER = 'Nobody has to pay for a heating that does not work.' // none: ten words are known as a whole

/** What the edge keeps of an answer. */
const answered = (index: MemoryIndex, answer: string, prompt = ''): void =>
  index.addAnswer(answerWindows(answer, prompt))

const having = (answer: string, prompt?: string): MemoryIndex => {
  const index = createMemoryIndex()
  answered(index, answer, prompt)
  return index
}

async function judge(
  index: MemoryIndex,
  fields: RecordFields[],
  {
    contributor = 'ann',
    profile = DEFAULT_PROFILE,
  }: { contributor?: string; profile?: Profile } = {},
): Promise<PipelineRecord[]> {
  const rows = fields.map((it, i) => ({ row: i + 1, fields: it, metadata: {} }))
  return (await runPipeline({ rows, contributor, profile, index })).records
}

async function judged(index: MemoryIndex, text: string): Promise<PipelineRecord> {
  const [record] = await judge(index, [{ text }])
  assert.ok(record)
  return record
}

const said = ({ verdict, reasons, modelOutput }: PipelineRecord) => [
  verdict,
  modelOutput,
  ...reasons,
]

test('an answer that is handed in goes to review, whatever its case and punctuation', async () => {
  for (const text of [ANSWER, ANSWER.toUpperCase().replaceAll(',', ' -')])
    assert.deepEqual(said(await judged(having(ANSWER), text)), ['needs_review', 1, 'MODEL_OUTPUT'])
  const untold = await judged(having(ANSWER), OWN_WORDS)
  assert.deepEqual(said(untold), ['accepted', 0])
})

test('short answers are recognised, down to eight words', async () => {
  for (const text of [SHORT, SHORTER])
    assert.deepEqual(said(await judged(having(text), text)), ['needs_review', 1, 'MODEL_OUTPUT'])
  assert.deepEqual(answerWindows('Seven words may be anybody’s.', ''), [])
  // Ten words that stand within a longer text are not looked for.
  assert.deepEqual(said(await judged(having(SHORTER), `${OWN_WORDS} ${SHORTER}`)), ['accepted', 0])
})

test('of an answer among own words the share counts, against the profile’s', async () => {
  const half = ANSWER.slice(0, ANSWER.indexOf('He has'))
  const mostly = await judged(having(ANSWER), `${OWN_WORDS.slice(0, 111)} ${ANSWER}`)
  assert.deepEqual(said(mostly), ['needs_review', 0.75, 'MODEL_OUTPUT'])
  const text = `${half} ${OWN_WORDS}`
  assert.deepEqual(said(await judged(having(ANSWER), text)), ['accepted', 0.2857])
  const profile = { ...DEFAULT_PROFILE, modelOutput: 0.25 }
  const [strictly] = await judge(having(ANSWER), [{ text }], { profile })
  assert.deepEqual(strictly?.reasons, ['MODEL_OUTPUT'])
})

test('of an exchange it is the answer that counts, as it is what a model learns to say', async () => {
  const user = { role: 'user' as const, content: OWN_WORDS }
  const outputs = [
    { prompt: OWN_WORDS, completion: ANSWER },
    { messages: [user, { role: 'assistant' as const, content: ANSWER }] },
  ]
  for (const fields of outputs) {
    const [record] = await judge(having(ANSWER), [fields])
    assert.deepEqual([record?.modelOutput, record?.reasons], [1, ['MODEL_OUTPUT']])
  }
  const [asked] = await judge(having(ANSWER), [{ prompt: ANSWER, completion: OWN_WORDS }])
  assert.deepEqual([asked?.modelOutput, asked?.reasons], [0, []])
})

test('what an answer has from its prompt is not the model’s, corrected spelling included', async () => {
  const typed = ANSWER.replace('heating', 'heting')
    .replace('written', 'writen')
    .replace('keys', 'kees')
  for (const prompt of [ANSWER, `Repeat this: ${ANSWER}`, `Correct my spelling! ${typed}`])
    assert.deepEqual(said(await judged(having(ANSWER, prompt), ANSWER)), ['accepted', 0])
  assert.deepEqual(said(await judged(having(SHORTER, `Say: ${SHORTER}`), SHORTER)), ['accepted', 0])
  const more = having(`${OWN_WORDS} ${ANSWER}`, `Go on: ${OWN_WORDS}`)
  assert.deepEqual(said(await judged(more, OWN_WORDS)), ['accepted', 0])
  assert.deepEqual((await judged(more, ANSWER)).reasons, ['MODEL_OUTPUT'])
})

test('a recital of a record is no output: its owner may hand the record in elsewhere', async () => {
  const index = createMemoryIndex()
  const [original] = await judge(index, [{ text: ANSWER }])
  assert.ok(original?.indexEntry)
  index.add(original.indexEntry)
  answered(index, ANSWER)
  answered(index, ANSWER.slice(0, 113)) // too short to be chosen from as the whole is
  const elsewhere = {
    ...index,
    lookupKeys: () => [],
    lookupBands: () => [],
    fetchRecords: (refs: string[]) =>
      index.fetchRecords(refs).map((record) => ({ ...record, sameDatanet: false })),
  }
  assert.deepEqual(said(await judged(elsewhere, ANSWER)), ['accepted', 0])
  const [copy] = await judge(elsewhere, [{ text: ANSWER }], { contributor: 'bob' })
  assert.deepEqual(copy?.reasons, ['PLAGIARISM_SUSPECT'])
})

test('an answer of a recital and words of the model’s is recognised as a whole', async () => {
  const index = createMemoryIndex()
  const [original] = await judge(index, [{ text: ANSWER }], { contributor: 'bob' })
  assert.ok(original?.indexEntry)
  index.add(original.indexEntry)
  const mixed = `${ANSWER} ${OWN_WORDS.slice(0, 230)}`
  answered(index, mixed)
  const record = await judged(index, mixed)
  assert.deepEqual(record.reasons, ['PARTIAL_OVERLAP', 'MODEL_OUTPUT'])
  assert.deepEqual([record.verdict, record.modelOutput], ['needs_review', 1])
})

test('an answer stays the model’s after somebody has handed it in', async () => {
  const index = having(ANSWER)
  const variant = `${ANSWER} ${OWN_WORDS.slice(0, 160)}`
  const [first, second] = await judge(index, [{ text: ANSWER }, { text: variant }])
  assert.deepEqual(first?.reasons, ['MODEL_OUTPUT'])
  assert.ok(second?.reasons.includes('MODEL_OUTPUT'))
  assert.ok(first?.indexEntry)
  index.add(first.indexEntry)
  const later = await judged(index, variant)
  assert.equal(later.modelOutput, second?.modelOutput)
  assert.equal(later.verdict, 'needs_review')
})

test('a Datanet may take or refuse output, and its hash says so', async () => {
  for (const verdict of ['accepted', 'rejected'] as const) {
    const profile = { ...DEFAULT_PROFILE, verdicts: { MODEL_OUTPUT: verdict } }
    const [record] = await judge(having(ANSWER), [{ text: ANSWER }], { profile })
    assert.deepEqual([record?.verdict, record?.reasons], [verdict, ['MODEL_OUTPUT']])
    assert.notEqual(pipelineHash(profile), pipelineHash())
  }
  assert.notEqual(pipelineHash({ ...DEFAULT_PROFILE, modelOutput: 0.6 }), pipelineHash())
})
