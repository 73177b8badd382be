import { decodeSpanIndex, encodeSpanIndex } from '#gpu-worker/attribution/span-files.ts'
import {
  addRows,
  buildSpanIndex,
  judgeSpans,
  SPAN_RULES,
  type SpanIndex,
} from '#gpu-worker/attribution/span-index.ts'
import { loadTokenizer } from '#gpu-worker/tokenizer.ts'
import { benchFlags, figure, printReport, quantile, type Figure } from './report.ts'
import { licenceText } from './spans/corpus.ts'
import { compileReference, divsufsortSeconds, openReference } from './spans/reference.ts'
import { scratchFolder } from '../support/scratch.ts'

/**
 * Figures of the span index: `npm run bench:spans [-- --quick] [-- --json]`. Building, growing by batches, loading, and
 * tracing an answer of 458 tokens (OLMoTrace's mean), beside the same algorithms compiled by `cc -O3` and, for building,
 * libdivsufsort, in the same run over the same bytes. The compiled program has to find exactly as much.
 */

const flags = benchFlags(process.argv.slice(2))
const sizes = flags.quick ? [1e6, 4e6] : [1e6, 1e7, 5e7]
const queries = flags.quick ? 200 : 1_000
const ANSWER_TOKENS = 458
const BATCH_ROWS = 1_000
const WARM_RECORDS = 2_000
const GROWN_TOKENS = flags.quick ? 1e6 : 4e6

const model = new URL('../../gpu-worker/models/openledger-5m', import.meta.url).pathname
const tokenizer = await loadTokenizer(model)
const scratch = scratchFolder()
const program = compileReference(scratch)

build(Array.from({ length: WARM_RECORDS }, licenceText(tokenizer, 0).record))
const figures = [...sizes.flatMap(measure), growth()]
printReport('spans', figures, flags)

/** Everything about an index of so many tokens. */
function measure(tokens: number): Figure[] {
  const text = licenceText(tokenizer, tokens)
  const records = Array.from({ length: tokens / 100 }, text.record)
  const [index, seconds] = timed(() => build(records))
  const bytes = encodeSpanIndex(index)
  const [loaded, loadSeconds] = timed(() => decodeSpanIndex(bytes))
  const answers = Array.from({ length: queries }, () => text.answer(ANSWER_TOKENS, records))
  const traced = answers.map((answer) => {
    const [matches, traceSeconds] = timed(() => judgeSpans(loaded, answer, () => false))
    return { micros: traceSeconds * 1e6, matches }
  })
  const micros = traced.slice(traced.length / 10).map((one) => one.micros) // after warming up

  const [shard] = loaded.shards
  const compiled =
    program && shard
      ? openReference(program, {
          scratch,
          shard,
          vocabulary: loaded.vocabulary,
          rules: SPAN_RULES,
        })
      : null
  const cSeconds = compiled?.build()
  const divsufsort = compiled && divsufsortSeconds(scratch)
  const found = compiled?.query(answers)
  found?.forEach(({ stretches, holders }, i) => {
    const matches = traced[i]?.matches ?? []
    const held = matches.reduce((n, match) => n + match.holders.size, 0)
    if (stretches !== matches.length || holders !== held)
      throw new Error(`answer ${i}: the compiled reference finds something else`)
  })
  const cMicros = found?.slice(found.length / 10).map((one) => one.micros)

  const size = `${tokens / 1e6} M tokens`
  const speed = (ours: number, name: string, reference?: number | null) =>
    figure(
      { name: `build, ${size}`, unit: 'tokens/s', better: 'higher' },
      tokens / ours,
      reference ? { value: tokens / reference, name } : undefined,
    )
  const latency = (share: number) =>
    figure(
      {
        name: `answer of ${ANSWER_TOKENS} tokens p${share * 100}, ${size}`,
        unit: 'µs',
        better: 'lower',
      },
      quantile(micros, share),
      cMicros && { value: quantile(cMicros, share), name: 'the same in C' },
    )
  return [
    speed(seconds, 'the same in C', cSeconds),
    ...(divsufsort ? [speed(seconds, 'libdivsufsort', divsufsort)] : []),
    latency(0.5),
    latency(0.99),
    figure({ name: `load, ${size}`, unit: 's', better: 'lower' }, loadSeconds),
    figure({ name: `size, ${size}`, unit: 'bytes/token', better: 'lower' }, bytes.length / tokens),
  ]
}

/** Tokens a second when rows come in batches, each searchable at once, beside sorting everything at every batch. */
function growth(): Figure {
  const text = licenceText(tokenizer, 1)
  const records = Array.from({ length: GROWN_TOKENS / 100 }, text.record)
  let grown = build([])
  const [, seconds] = timed(() => {
    for (let at = 0; at < records.length; at += BATCH_ROWS)
      grown = addRows(
        grown,
        records.slice(at, at + BATCH_ROWS).map((record) => [record]),
      )
  })
  const [, whole] = timed(() => build(records))
  // Sorting anew at each of n batches sorts (n + 1) / 2 times the final text.
  const anew = (whole * (records.length / BATCH_ROWS + 1)) / 2
  return figure(
    {
      name: `growing to ${GROWN_TOKENS / 1e6} M tokens by ${BATCH_ROWS} records`,
      unit: 'tokens/s',
      better: 'higher',
    },
    GROWN_TOKENS / seconds,
    { value: GROWN_TOKENS / anew, name: 'sorting anew every time' },
  )
}

function build(records: readonly Uint16Array[]): SpanIndex {
  return buildSpanIndex(rowsOf(records), tokenizer.vocabulary)
}

function* rowsOf(records: readonly Uint16Array[]) {
  for (const record of records) yield [record]
}

function timed<T>(work: () => T): [T, number] {
  const from = performance.now()
  const result = work()
  return [result, (performance.now() - from) / 1000]
}
