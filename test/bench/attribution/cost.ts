/** What attribution costs: the scan beside the memory it reads, an answer's attribution beside its generation, and bytes. */
import { attribute } from '#gpu-worker/attribution/attribute.ts'
import { openFeatures } from '#gpu-worker/attribution/features.ts'
import type { GradientSource } from '#gpu-worker/attribution/gradients.ts'
import { encodeIndex } from '#gpu-worker/attribution/index-files.ts'
import type { InfluenceIndex } from '#gpu-worker/attribution/influence-index.ts'
import { buildSpanIndex } from '#gpu-worker/attribution/span-index.ts'
import { encodeSpanIndex } from '#gpu-worker/attribution/span-files.ts'
import { vectorTable } from '#gpu-worker/attribution/vector-table.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import { openGenerator } from '#gpu-worker/serving/generator.ts'
import { trainedSegments } from '#gpu-worker/training/examples.ts'
import { defaultParameters } from '#protocol/parameters.ts'
import { dotInt8 } from '#protocol/score.ts'
import { figure, quantile, type Figure } from '../report.ts'
import type { AttributionTask } from './datasets.ts'
import type { Trained } from './ours.ts'

const SCAN_DIMS = 512
const SCAN_GOAL_MS = 60

/** The integer scan over many rows in one thread, beside a copy of the same bytes and the plain loop. */
export function scanFigures(rows: number): Figure[] {
  const vectors = new Int8Array(rows * SCAN_DIMS)
  for (let i = 0; i < vectors.length; i++) vectors[i] = (i * 2_654_435_761) >>> 13
  const table = vectorTable(vectors, SCAN_DIMS)
  const query = vectors.slice(0, SCAN_DIMS)
  const copy = new Int8Array(vectors.length)
  const scan = medianMs(() => table.dots(query))
  const copied = medianMs(() => copy.set(vectors))
  const sample = Math.min(rows, 20_000)
  const plain = medianMs(() => {
    for (let i = 0; i < sample; i++)
      dotInt8(vectors.subarray(i * SCAN_DIMS, (i + 1) * SCAN_DIMS), query)
  })
  const named = (reference: string) => ({
    name: `scan of ${rows.toLocaleString('en')} rows of ${SCAN_DIMS}, beside ${reference}`,
    unit: 'ms',
    better: 'lower' as const,
  })
  return [
    {
      ...figure(named('a copy of the same bytes'), scan, { value: copied, name: 'copy' }),
      goal: (SCAN_GOAL_MS * rows) / 1e6,
    },
    figure(named('the same sums in plain TypeScript'), scan, {
      value: (plain * rows) / sample,
      name: 'dotInt8',
    }),
  ]
}

function medianMs(work: () => unknown): number {
  work()
  const times = Array.from({ length: 7 }, () => {
    const started = performance.now()
    work()
    return performance.now() - started
  })
  return quantile(times, 0.5)
}

const ANSWER_TOKENS = 64

/** Attribution of one answer as a share of generating it, and what the index takes. */
export async function answerFigures(
  base: BaseModel,
  task: Pick<AttributionTask, 'name' | 'train' | 'queries'>,
  { source, index, trained }: { source: GradientSource; index: InfluenceIndex; trained: Trained },
): Promise<Figure[]> {
  const segments = task.train.map((example) => trainedSegments(example, base.tokenizer))
  const spans = buildSpanIndex(segments, base.config.vocab)
  const features = openFeatures(source.blocks, index.features)
  const generator = await openGenerator(base, { threads: 1 })
  const [generated, attributed]: [number[], number[]] = [[], []]
  try {
    for (const query of task.queries.slice(0, 12)) {
      const first = query.targets.indexOf(1)
      const prompt = query.tokens.slice(0, first > 1 ? first : 8)
      const started = performance.now()
      const { tokens, text } = await generator.generate({
        prompt,
        adapter: trained,
        sampling: { temperature: 1, topP: 1, topK: 0 },
        seed: 5,
        stop: [],
        maxTokens: ANSWER_TOKENS,
        signal: new AbortController().signal,
        onText: () => {},
      })
      const between = performance.now()
      await attribute(
        { prompt, promptText: base.tokenizer.decode(prompt), tokens, text, ends: [] },
        { index: { index, features }, spans },
        { source, tokenizer: base.tokenizer },
        { pool: 10n ** 18n, values: defaultParameters() },
      )
      generated.push(between - started)
      attributed.push(performance.now() - between)
    }
  } finally {
    await generator.release()
  }
  const files = { ...encodeIndex(index, {}), spans: encodeSpanIndex(spans) }
  const records = task.train.length
  const perRecord = (name: keyof typeof files, what: string): Figure =>
    figure(
      { name: `${task.name}: index bytes per record, ${what}`, unit: 'B', better: 'lower' },
      files[name].length / records,
    )
  return [
    figure(
      {
        name: `${task.name}: attribution of an answer of up to ${ANSWER_TOKENS} tokens, one thread`,
        unit: 'ms',
        better: 'lower',
      },
      quantile(attributed, 0.5),
      { value: quantile(generated, 0.5), name: 'generating it' },
    ),
    perRecord('vectors', 'int8 vectors (committed, scanned)'),
    perRecord('rows', 'rows (committed)'),
    perRecord('landmarks', 'landmarks (queries only; at most 64 MiB in all)'),
    perRecord('projection', 'factor, residual, snapshot'),
    perRecord('spans', 'spans'),
  ]
}
