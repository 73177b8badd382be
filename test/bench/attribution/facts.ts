/**
 * Finding the one record that states a fact: fifty invented facts, a record each, are trained among MedQuAD's answers; then
 * each is asked for and answered in other words, and the record is looked up by influence, by spans and by what is paid.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { attribute, echoTest } from '#gpu-worker/attribution/attribute.ts'
import { openFeatures } from '#gpu-worker/attribution/features.ts'
import { buildSpanIndex, creditSpans } from '#gpu-worker/attribution/span-index.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import { buildBm25 } from '#gpu-worker/retrieval/bm25.ts'
import { textOf } from '#gpu-worker/retrieval/retriever.ts'
import { toExamples, trainedSegments, type Example } from '#gpu-worker/training/examples.ts'
import { keccak } from '#protocol/bytes.ts'
import { defaultParameters } from '#protocol/parameters.ts'
import type { RecordFields } from '#protocol/wire.ts'
import type { Figure } from '../report.ts'
import { compare, plot, type Line } from './comparison.ts'
import { addressOf, loadTask, TASK_SIZE } from './datasets.ts'
import { isWithin, placeOf, rankOf, reciprocalRank } from './ranking.ts'
import { scoreTask, type Bench, type ScoredTask } from './scored.ts'

const DATASET = 'medquad'
const POOL = 10n ** 18n
const MOST = 10

const factsFile = z.array(
  z.object({
    prompt: z.string(),
    completion: z.string(),
    question: z.string(),
    answer: z.string(),
  }),
)
type Fact = z.infer<typeof factsFile>[number]

/** The place of each fact's record, null where it is not found at all. */
type Ranks = (number | null)[]

/** MRR and recall among the first ten, per method. */
export async function measureFacts(bench: Bench): Promise<Figure[]> {
  const { base, data } = bench
  const facts = factsFile.parse(
    JSON.parse(readFileSync(new URL('facts.json', import.meta.url), 'utf8')),
  )
  const { train, others } = await loadTask(DATASET, data, base.tokenizer, TASK_SIZE)
  const recorded = examplesOf(
    facts.map(({ prompt, completion }) => ({ prompt, completion })),
    base,
  )
  const queries = examplesOf(
    facts.map(({ question, answer }) => ({ prompt: question, completion: answer })),
    base,
  )
  // Facts come first: fact q is record q.
  const mixed = [...recorded, ...train.slice(0, TASK_SIZE.records - recorded.length)]
  const scored = await scoreTask(bench, { train: mixed, queries, others })
  const ranks = [
    ...scored.methods.map(({ label, group, scores }) => ({
      label,
      group,
      ranks: queries.map((_, q): number | null =>
        rankOf(
          q,
          scores.map((row) => row[q] ?? 0),
        ),
      ),
    })),
    {
      label: 'BM25, question and answer',
      group: 'baseline' as const,
      ranks: wordRanks(facts, mixed),
    },
    ...(await servedRanks(bench, scored, facts)),
  ]
  const lines = (of: (rank: number | null) => number): Line[] =>
    ranks.map(({ label, group, ranks: own }) => ({ label, group, perItem: own.map(of) }))
  const what = `${facts.length} invented facts among ${mixed.length} records`
  await plot('facts', `MRR, ${what}`, lines(reciprocalRank))
  return [
    ...compare(`${what}: MRR`, '', lines(reciprocalRank)),
    ...compare(
      `${what}: recall of the first ${MOST}`,
      '',
      lines((rank) => isWithin(rank, MOST)),
    ),
  ]
}

const examplesOf = (fields: readonly RecordFields[], { tokenizer }: BaseModel): Example[] => {
  const rows = fields.map((it) => {
    const record = keccak(textOf(it))
    return { record, cluster: record, contributor: addressOf('facts'), fields: it }
  })
  return toExamples(rows, tokenizer, TASK_SIZE.sequenceLength).examples
}

function wordRanks(facts: readonly Fact[], train: readonly Example[]): Ranks {
  const index = buildBm25(train.map(({ row }) => textOf(row.fields)))
  return facts.map(({ question, answer }, fact) => {
    const found = index.rank(`${question} ${answer}`, train.length)
    return placeOf(found.findIndex(({ document }) => document === fact))
  })
}

/** By the text of verbatim spans alone, and in the order in which a receipt lists rows: the fused score. */
async function servedRanks(
  { base, source }: Bench,
  { index, task }: ScoredTask,
  facts: readonly Fact[],
): Promise<{ label: string; group: Line['group']; ranks: Ranks }[]> {
  const { tokenizer, config } = base
  const segments = task.train.map((example) => trainedSegments(example, tokenizer))
  const spans = buildSpanIndex(segments, config.vocab)
  const served = { index: { index, features: openFeatures(source.blocks, index.features) }, spans }
  const [bySpans, fused]: [Ranks, Ranks] = [[], []]
  for (const [fact, { question, answer }] of facts.entries()) {
    const prompt = tokenizer.encodePrompt({ messages: [{ role: 'user', content: question }] })
    const tokens = tokenizer.encodeRendered(answer)
    const response = { prompt, promptText: question, tokens, text: answer, ends: [] }
    const credit = creditSpans(spans, tokens, echoTest(response, tokenizer))
    const texts = task.train.map((_, row) => Number(credit.rows.get(row)?.text ?? 0n))
    bySpans.push(texts[fact] ? rankOf(fact, texts) : null)
    const { rows } = await attribute(
      response,
      served,
      { source, tokenizer },
      { pool: POOL, values: defaultParameters() },
    )
    fused.push(placeOf(rows.findIndex(({ record }) => record === task.train[fact]?.row.record)))
  }
  return [
    { label: 'ours, verbatim spans', group: 'variant', ranks: bySpans },
    {
      label: 'ours, as receipts list records (spans and influence)',
      group: 'variant',
      ranks: fused,
    },
  ]
}
