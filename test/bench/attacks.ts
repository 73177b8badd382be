import licences from 'spdx-license-list/full.js'
import { cutClauses } from '#edge/datanets/pipeline/clauses.ts'
import { loadBaseModel } from '#gpu-worker/base-model.ts'
import type { Response } from '#gpu-worker/attribution/attribute.ts'
import { toExamples, type Example } from '#gpu-worker/training/examples.ts'
import { loraOf } from '#gpu-worker/training/lora-training.ts'
import { randomSource } from '#engine/random.ts'
import { defaultParameters } from '#protocol/parameters.ts'
import {
  accepted,
  ourPayouts,
  plainPayouts,
  SEQUENCE,
  unchecked,
  type Inflation,
  type PayOut,
  type Submission,
} from './attacks/world.ts'
import { addressOf } from './attribution/datasets.ts'
import { openSource } from './attribution/ours.ts'
import { METHOD } from './attribution/retraining.ts'
import { benchFlags, figure, printReport, type Figure } from './report.ts'

/**
 * What attacks on attribution earn: `npm run bench:attacks [-- --quick] [-- --json]`. Eight contributors hand in clauses of
 * real licences; one of them attacks. A multiplier is what the attacker is paid for the same answers with the attack over
 * without it, under the product's own pipeline, training and attribution, beside paying plain gradient dot products
 * without clusters. Money goes by the contributor pool alone; `with base pool` adds what presence pays.
 */
const flags = benchFlags(process.argv.slice(2))
const CONTRIBUTORS = 8
const EACH = flags.quick ? 6 : 12
const ATTACKER = 'contributor 0'
const COPIES = 20
const ACCOUNTS = 20
const INFLATION = 30
const PROMPT_TOKENS = 12

const base = await loadBaseModel('gpu-worker/models/openledger-5m')
const lora = loraOf(METHOD)
const source = await openSource(base, lora)
const random = randomSource(3)

const clauses = honestClauses(CONTRIBUTORS * EACH + 40)
const honest: Submission[] = Array.from({ length: CONTRIBUTORS }, (_, c) =>
  clauses
    .slice(c * EACH, (c + 1) * EACH)
    .map((text) => ({ contributor: `contributor ${c}`, text })),
).flat()
const mine = honest.filter(({ contributor }) => contributor === ATTACKER)
const copied = mine.slice(0, 3)
const by = (contributor: string, texts: readonly string[]): Submission[] =>
  texts.map((text) => ({ contributor, text }))
const others = examplesOf(clauses.slice(CONTRIBUTORS * EACH))
const place = { base, source, lora, others }

/** Answers that recite a record's clause from its twelfth token on: three of the attacker's, three of each other. */
const answers = examplesOf(honest.filter((_, i) => i % EACH < 3).map(({ text }) => text)).map(
  (example) => ({ response: recital(example) }),
)

type Attack = {
  name: string
  /** Handed in besides, or instead of, what the honest hand in. */
  submissions: Submission[]
  accounts?: string[]
  inflation?: Inflation
  responses?: Response[]
  goal?: number
}

const attacks: Attack[] = [
  {
    name: `x${COPIES} exact copies`,
    submissions: [
      ...honest,
      ...by(
        ATTACKER,
        copied.flatMap(({ text }) => Array(COPIES).fill(text) as string[]),
      ),
    ],
    goal: 1.05,
  },
  {
    name: `x${COPIES} near-copies`,
    submissions: [
      ...honest,
      ...by(
        ATTACKER,
        copied.flatMap(({ text }) => Array.from({ length: COPIES }, () => nearCopy(text))),
      ),
    ],
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
    submissions: honest,
    inflation: { contributor: addressOf(ATTACKER), factor: INFLATION },
    goal: 1,
  },
  {
    name: '20 records of shuffled words',
    submissions: [...honest, ...by(ATTACKER, clauses.slice(8, 28).map(shuffled))],
  },
  {
    name: '20 records of common phrases',
    submissions: [...honest, ...by(ATTACKER, commonPhrases(20))],
  },
  {
    name: 'prompt echo: the prompts as records, answers that repeat them',
    submissions: [
      ...honest,
      ...by(
        ATTACKER,
        answers.map(({ response }) => response.promptText),
      ),
    ],
    responses: answers.map(({ response }) => echoing(response)),
  },
  {
    name: 're-uploading the answers',
    submissions: [
      ...honest,
      ...by(
        ATTACKER,
        answers.map(({ response }) => response.text),
      ),
    ],
  },
  {
    name: 'copying the records of another contributor later',
    submissions: [
      ...honest,
      ...by(
        ATTACKER,
        honest.filter(({ contributor }) => contributor === 'contributor 1').map(({ text }) => text),
      ),
    ],
    goal: 1.05,
  },
]

const figures: Figure[] = []
const known = new Map<string, Promise<PayOut>>()
try {
  for (const attack of flags.quick ? attacks.slice(0, 4) : attacks) {
    const [ours, plain] = [await multiplier(attack, true), await multiplier(attack, false)]
    const named = (suffix: string) => ({
      name: `payout multiplier, ${attack.name}${suffix}`,
      unit: 'x',
      better: 'lower' as const,
    })
    const reference = { value: plain.attributed, name: 'plain dot product' }
    figures.push({ ...figure(named(''), ours.attributed, reference), goal: attack.goal ?? null })
    figures.push(figure(named(', with base pool'), ours.withBasePool))
    process.stderr.write(
      `${attack.name}: ${ours.attributed.toFixed(3)} (plain ${plain.attributed.toFixed(3)})\n`,
    )
  }
  figures.push(await washInference())
} finally {
  await source.release()
}
printReport('attacks', figures, flags)

/** What the attacker gets with the attack over what they get without it. */
async function multiplier(attack: Attack, isOurs: boolean) {
  const { submissions, accounts = [ATTACKER], inflation = null } = attack
  const responses = attack.responses ?? answers.map(({ response }) => response)
  const without = await total(await payouts(honest, null, isOurs), [ATTACKER], responses)
  const withIt = await total(await payouts(submissions, inflation, isOurs), accounts, responses)
  return {
    attributed: withIt.attributed / without.attributed,
    withBasePool: withIt.withBasePool / without.withBasePool,
  }
}

async function total(pay: PayOut, accounts: readonly string[], responses: readonly Response[]) {
  const sum = { attributed: 0, withBasePool: 0 }
  for (const response of responses) {
    const payouts = await pay(response)
    for (const account of accounts) {
      const own = payouts.get(addressOf(account))
      sum.attributed += own?.attributed ?? 0
      sum.withBasePool += own?.withBasePool ?? 0
    }
  }
  return sum
}

/** Trained once per set of rows. */
async function payouts(submissions: readonly Submission[], inflation: Inflation, isOurs: boolean) {
  const rows = isOurs ? await accepted(submissions) : unchecked(submissions)
  const key = JSON.stringify([isOurs, inflation, rows])
  const made = known.get(key) ?? (isOurs ? ourPayouts : plainPayouts)(rows, place, inflation)
  known.set(key, made)
  return made
}

/** An attacker pays for answers that recite their own records: what comes back of each unit of fee. */
async function washInference(): Promise<Figure> {
  const own = examplesOf(mine.map(({ text }) => text)).map(recital)
  const back = await total(await payouts(honest, null, true), [ATTACKER], own)
  const contributors =
    1 -
    Number(
      defaultParameters()['split.platform'] +
        defaultParameters()['split.model'] +
        defaultParameters()['split.stakers'],
    ) /
      1e6
  const share = (contributors * back.withBasePool) / own.length
  return {
    ...figure(
      { name: 'wash inference: returned of every fee paid', unit: 'x', better: 'lower' },
      share,
    ),
    goal: 1,
  }
}

function examplesOf(texts: readonly string[]): Example[] {
  const rows = texts.map((text) => ({
    record: addressOf(text),
    cluster: addressOf(text),
    contributor: addressOf(text),
    fields: { text },
  }))
  return toExamples(rows, base.tokenizer, SEQUENCE).examples
}

/** The record as an answer to its own opening. */
function recital({ tokens }: Example): Response {
  const special = base.tokenizer.special
  const words = tokens.filter((token) => !special.has(token))
  const [opening, rest] = [words.slice(0, PROMPT_TOKENS), words.slice(PROMPT_TOKENS)]
  const promptText = base.tokenizer.decode(opening)
  const prompt = base.tokenizer.encodePrompt({ prompt: promptText })
  return { prompt, promptText, tokens: rest, text: base.tokenizer.decode(rest), ends: [] }
}

/** The same answer after a repetition of the prompt. */
function echoing(response: Response): Response {
  const tokens = [...base.tokenizer.encodeRendered(response.promptText), ...response.tokens]
  return { ...response, tokens, text: base.tokenizer.decode(tokens) }
}

/** Distinct clauses of as many licences as needed, none a near-duplicate of another. */
function honestClauses(count: number): string[] {
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
    (_, i) => spread[Math.floor((i * spread.length) / count)] ?? '',
  )
}

/** One word in twelve replaced by another of the text. */
function nearCopy(text: string): string {
  const words = text.split(' ')
  for (let i = 6; i < words.length; i += 24)
    words[i] = words[Math.floor(random() * words.length)] ?? ''
  return words.join(' ')
}

function shuffled(text: string): string {
  return text
    .split(' ')
    .map((word) => ({ word, key: random() }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ word }) => word)
    .join(' ')
}

/** Records made of the eight-word phrases that occur most often in what the others hand in. */
function commonPhrases(count: number): string[] {
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
