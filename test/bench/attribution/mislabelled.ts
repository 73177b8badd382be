/**
 * Finding wrong records: a tenth of MedQuAD's records get another record's answer, the adapter is trained on all, and the
 * records are ordered by self-influence. One that must be learnt by heart should influence itself most.
 */
import { randomSource } from '#engine/random.ts'
import { loadTask, TASK_SIZE } from './datasets.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import { toExamples, type Example } from '#gpu-worker/training/examples.ts'
import type { Figure } from '../report.ts'
import { compare, plot, type Line } from './comparison.ts'
import { gradientScores } from './baselines.ts'
import { shareBelow } from './ranking.ts'
import { indexTask, type Bench } from './scored.ts'
import { inRandomOrder } from './statistics.ts'

const DATASET = 'medquad'
const SHARE = 0.1
const DRAWS = 2

/** AUC of telling the wrong records from the others: one value per wrong record, pooled over the draws. */
export async function measureMislabelled(bench: Bench): Promise<Figure[]> {
  const { base, data, isQuick } = bench
  const task = await loadTask(DATASET, data, base.tokenizer, TASK_SIZE)
  const pooled = new Map<string, Line>()
  const draws = isQuick ? 1 : DRAWS
  for (let draw = 0; draw < draws; draw++) {
    const { train, isWrong } = withWrongAnswers(task.train, base, draw)
    const { index, gradients } = await indexTask(bench, { ...task, train, queries: [] })
    const add = (label: string, group: Line['group'], scores: readonly number[]) => {
      const perItem = [...(pooled.get(label)?.perItem ?? []), ...shareBelow(scores, isWrong)]
      pooled.set(label, { label, group, perItem })
    }
    add(
      'ours, self-influence',
      'ours',
      index.rows.map(({ self, exponent }) => Number(self) * 4 ** exponent),
    )
    add('loss', 'baseline', gradients.losses)
    const own = gradientScores({ ...gradients, queries: gradients.train })
    for (const [label, scores] of own)
      add(
        `${label}, of itself`,
        'baseline',
        scores.map((row, i) => row[i] ?? 0),
      )
  }
  const lines = [...pooled.values()]
  const wrong = Math.round(SHARE * task.train.length)
  const what = `${DATASET}: AUC of finding ${wrong} wrong answers among ${task.train.length}`
  await plot(`mislabelled-${DATASET}`, `${what}, ${draws} draws`, lines)
  return compare(what, '', lines)
}

/** Gives a share of the records each other's answers, so that none keeps its own. */
function withWrongAnswers(
  train: readonly Example[],
  { tokenizer }: BaseModel,
  draw: number,
): { train: Example[]; isWrong: boolean[] } {
  const order = inRandomOrder([...train.keys()], randomSource(0xbad + draw))
  const chosen = order.slice(0, Math.round(SHARE * train.length))
  const given = new Map(chosen.map((i, at) => [i, chosen[(at + 1) % chosen.length] as number]))
  const rows = train.map(({ row }, i) => {
    const other = train[given.get(i) ?? i]?.row.fields
    if (!('prompt' in row.fields) || !other || !('prompt' in other))
      throw new Error('records are questions with answers')
    return { ...row, fields: { ...row.fields, completion: other.completion } }
  })
  return {
    train: toExamples(rows, tokenizer, TASK_SIZE.sequenceLength).examples,
    isWrong: train.map((_, i) => given.has(i)),
  }
}
