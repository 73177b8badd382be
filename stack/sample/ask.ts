import { attributionTable } from '#client/attribution-table.ts'
import type { Answer, ReceiptView } from '#client/openledger.ts'
import { formatOpen } from '#client/format.ts'
import { printable } from '#client/table.ts'
import type { Cast } from './cast.ts'
import type { PublishedVersion } from './datanet.ts'
import type { TunedModel } from './fine-tune.ts'
import { expect } from './journey-error.ts'
import type { Plan } from './plan.ts'

export type Asked = { question: string; answer: Answer; receipt: ReceiptView }

const MAX_TOKENS = 80
const SNIPPET_CHARS = 60
const QUESTIONS_FROM_ROWS = 3

/**
 * Asks the tuned model, streaming and not, and the bare base model, and prints each answer with who shaped it.
 * Every answer must come with a receipt of the caller's own.
 */
export async function askModels(
  cast: Cast,
  plan: Plan,
  { version, model }: { version: PublishedVersion; model: TunedModel },
): Promise<{ answers: Asked[]; question: string }> {
  const { progress } = cast
  const questions = plan.questions.length > 0 ? plan.questions : await questionsFrom(cast, version)
  const [first = ''] = questions
  const answers: Asked[] = []
  for (const [i, question] of questions.entries())
    answers.push(await ask(cast, { model: model.name, question, stream: i % 2 === 0 }))
  const base = await ask(cast, { model: model.base, question: first, stream: false })

  const attributed = answers.filter(({ receipt }) => receipt.receipt.rows.length > 0)
  expect(
    !plan.expectAttribution || attributed.length > 0,
    'Attribution',
    'no answer of the tuned model names a record',
  )
  expect(
    base.receipt.receipt.rows.length === 0,
    'Attribution',
    'the bare base model has no contributors, yet its receipt pays some',
  )
  progress.print('')
  return { answers: [...answers, base], question: first }
}

async function ask(
  cast: Cast,
  { model, question, stream }: { model: string; question: string; stream: boolean },
): Promise<Asked> {
  const { consumer, contributors, progress } = cast
  const step = progress.step(stream ? 'Ask, streaming' : 'Ask')
  const request = {
    model,
    messages: [{ role: 'user' as const, content: question }],
    max_tokens: MAX_TOKENS,
    temperature: 0,
    attribution: 'full' as const,
  }
  const answer = stream
    ? await readStream(cast, request, step)
    : await consumer.client.chat(request)
  expect(answer.text.trim() !== '', 'Ask', `${model} said nothing`)
  expect(answer.completionTokens <= MAX_TOKENS, 'Ask', `${answer.completionTokens} tokens came`)
  const receipt = await consumer.client.receipt(answer.receiptId)
  expect(receipt.receipt.payer === consumer.address, 'Ask', 'the receipt names another payer')
  const tokens = answer.promptTokens + answer.completionTokens
  step.done(`${model}: ${tokens} tokens, ${formatOpen(receipt.receipt.fee)}`)
  progress.print(`    > ${printable(question)}\n    < ${printable(answer.text.trim())}`)
  const nameOf = (address: string) =>
    contributors.find((person) => person.address === address)?.name ?? address
  progress.print(attributionTable(receipt, receipt.explanation, nameOf))
  return { question, answer, receipt }
}

async function readStream(
  { consumer }: Cast,
  request: Parameters<Cast['consumer']['client']['chatStream']>[0],
  step: { update: (done: number, note?: string) => void },
): Promise<Answer> {
  const stream = consumer.client.chatStream(request)
  let text = ''
  for (let pieces = 1; ; pieces++) {
    const next = await stream.next()
    if (next.done) return next.value
    text += next.value
    step.update(pieces / MAX_TOKENS, printable(text.slice(-SNIPPET_CHARS)))
  }
}

/** Questions for records that nobody wrote questions for: their own prompts, or how their texts begin. */
async function questionsFrom({ consumer }: Cast, version: PublishedVersion): Promise<string[]> {
  const questions: string[] = []
  for await (const { fields: record } of consumer.client.rows(version.datanetId, version.number)) {
    if ('prompt' in record) questions.push(record.prompt)
    else if ('text' in record) questions.push(record.text.split(/\s+/).slice(0, 8).join(' '))
    else
      questions.push(...record.messages.filter(({ role }) => role === 'user').map((m) => m.content))
    if (questions.length >= QUESTIONS_FROM_ROWS) break
  }
  return questions.filter((question) => question.trim() !== '').slice(0, QUESTIONS_FROM_ROWS)
}
