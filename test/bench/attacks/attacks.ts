/** Who hands in what: worlds of honest contributors with one attacker among them, and what the attacker does. */
import licences from 'spdx-license-list/full.js'
import { cutClauses } from '#edge/datanets/pipeline/clauses.ts'
import { randomSource } from '#engine/random.ts'
import type { Response } from '#gpu-worker/attribution/attribute.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import type { Example } from '#gpu-worker/training/examples.ts'
import { addressOf } from '../attribution/datasets.ts'
import { inRandomOrder } from '../attribution/statistics.ts'
import { examplesOf, unchecked, type Inflation, type Submission } from './world.ts'

export type Attack = {
  name: string
  /** Handed in besides, or instead of, what the honest hand in. */
  submissions: Submission[]
  accounts?: string[]
  inflation?: Inflation
  responses?: Response[]
  goal?: number
}

export type World = {
  honest: Submission[]
  /** Clauses that nobody hands in. */
  others: Example[]
  /** Answers that recite a record's clause from its twelfth token on: three of the attacker's, three of each other. */
  answers: Response[]
  /** Answers that recite the attacker's own records. */
  own: Response[]
  attacks: Attack[]
}

export const ATTACKER = 'contributor 0'
const CONTRIBUTORS = 8
const OTHERS = 40
const COPIES = 20
const ACCOUNTS = 20
const INFLATION = 30
const PROMPT_TOKENS = 12
const ANSWERED = 3

/** The clauses and the attacker's random choices are another world's for every `world` of `worlds`. */
export function worldOf(
  base: BaseModel,
  { world, worlds, each }: { world: number; worlds: number; each: number },
): World {
  const clauses = distinctClauses(CONTRIBUTORS * each + OTHERS, world / worlds)
  const honest = Array.from({ length: CONTRIBUTORS }, (_, c) =>
    by(`contributor ${c}`, clauses.slice(c * each, (c + 1) * each)),
  ).flat()
  const examples = (texts: readonly string[]) => examplesOf(unchecked(by(ATTACKER, texts)), base)
  const mine = honest.filter(({ contributor }) => contributor === ATTACKER)
  const recited = honest.filter((_, i) => i % each < ANSWERED)
  const answers = examples(recited.map(({ text }) => text)).map((it) => recital(it, base))
  return {
    honest,
    others: examples(clauses.slice(CONTRIBUTORS * each)),
    answers,
    own: examples(mine.map(({ text }) => text)).map((it) => recital(it, base)),
    attacks: attacksOn({ honest, clauses, answers }, base, randomSource(3 + world)),
  }
}

const by = (contributor: string, texts: readonly string[]): Submission[] =>
  texts.map((text) => ({ contributor, text }))

function attacksOn(
  {
    honest,
    clauses,
    answers,
  }: { honest: readonly Submission[]; clauses: readonly string[]; answers: readonly Response[] },
  base: BaseModel,
  random: () => number,
): Attack[] {
  const textsOf = (contributor: string) =>
    honest.filter((it) => it.contributor === contributor).map(({ text }) => text)
  const besides = (texts: readonly string[]) => [...honest, ...by(ATTACKER, texts)]
  const copied = textsOf(ATTACKER).slice(0, 3)
  const times = (copy: (text: string) => string) =>
    copied.flatMap((text) => Array.from({ length: COPIES }, () => copy(text)))
  return [
    { name: `x${COPIES} exact copies`, submissions: besides(times((text) => text)), goal: 1.05 },
    {
      name: `x${COPIES} near-copies`,
      submissions: besides(times((text) => nearCopy(text, random))),
      goal: 1.05,
    },
    {
      name: `identity split over ${ACCOUNTS} accounts`,
      submissions: honest.map((submission, i) =>
        submission.contributor === ATTACKER
          ? { ...submission, contributor: `split ${i % ACCOUNTS}` }
          : submission,
      ),
      accounts: Array.from({ length: ACCOUNTS }, (_, i) => `split ${i}`),
      goal: 1,
    },
    {
      name: `gradient norms x${INFLATION}`,
      submissions: [...honest],
      inflation: { contributor: addressOf(ATTACKER), factor: INFLATION },
      goal: 1,
    },
    {
      name: '20 records of shuffled words',
      submissions: besides(clauses.slice(8, 28).map((text) => shuffled(text, random))),
    },
    { name: '20 records of common phrases', submissions: besides(commonPhrases(honest, 20)) },
    {
      name: 'prompt echo: the prompts as records, answers that repeat them',
      submissions: besides(answers.map(({ promptText }) => promptText)),
      responses: answers.map((answer) => echoing(answer, base)),
    },
    { name: 're-uploading the answers', submissions: besides(answers.map(({ text }) => text)) },
    {
      name: 'copying the records of another contributor later',
      submissions: besides(textsOf('contributor 1')),
      goal: 1.05,
    },
  ]
}

/** The record as an answer to its own opening. */
function recital({ tokens }: Example, { tokenizer }: BaseModel): Response {
  const words = tokens.filter((token) => !tokenizer.special.has(token))
  const [opening, rest] = [words.slice(0, PROMPT_TOKENS), words.slice(PROMPT_TOKENS)]
  const promptText = tokenizer.decode(opening)
  const prompt = tokenizer.encodePrompt({ prompt: promptText })
  return { prompt, promptText, tokens: rest, text: tokenizer.decode(rest), ends: [] }
}

/** The same answer after a repetition of the prompt. */
function echoing(response: Response, { tokenizer }: BaseModel): Response {
  const tokens = [...tokenizer.encodeRendered(response.promptText), ...response.tokens]
  return { ...response, tokens, text: tokenizer.decode(tokens) }
}

/** Distinct clauses spread over all licences, none a near-duplicate of another; `shift`, below 1, moves to their neighbours. */
function distinctClauses(count: number, shift: number): string[] {
  const texts = Object.values(licences)
    .flatMap(({ licenseText }) => cutClauses(licenseText).slice(2, 6))
    .map(({ text }) => text)
    .filter((text) => text.length > 260 && text.length < 900)
  const distinct = new Map(
    texts.map((text) => [text.toLowerCase().replaceAll(/\W+/g, ' ').slice(0, 90), text]),
  )
  const spread = [...distinct.values()]
  return Array.from(
    { length: count },
    (_, i) => spread[Math.floor(((i + shift) * spread.length) / count)] ?? '',
  )
}

/** One word in 24 replaced by another of the text. */
function nearCopy(text: string, random: () => number): string {
  const words = text.split(' ')
  for (let i = 6; i < words.length; i += 24)
    words[i] = words[Math.floor(random() * words.length)] ?? ''
  return words.join(' ')
}

const shuffled = (text: string, random: () => number): string =>
  inRandomOrder(text.split(' '), random).join(' ')

/** Records made of the eight-word phrases that occur most often in what the others hand in. */
function commonPhrases(honest: readonly Submission[], count: number): string[] {
  const counts = new Map<string, number>()
  for (const { text } of honest) {
    const words = text.split(' ')
    for (let i = 0; i + 8 <= words.length; i++) {
      const phrase = words.slice(i, i + 8).join(' ')
      counts.set(phrase, (counts.get(phrase) ?? 0) + 1)
    }
  }
  const common = [...counts].toSorted((a, b) => b[1] - a[1]).map(([phrase]) => phrase)
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: 6 }, (_item, j) => common[(i * 7 + j * 13) % 140] ?? '').join('. '),
  )
}
