/**
 * Queries for the null distribution of an influence index: what the adapter answers to prompts whose answers say nothing
 * about a given row. They are generated, because served queries are: scored against the texts of records instead,
 * every answer of the model would look significant for the rows that shaped its style.
 */
import type { Adapter } from '#engine/adapter-pack.ts'
import { placeOf } from '#engine/programs/base.ts'
import type { SessionOptions } from '#engine/session.ts'
import type { NullQuery } from '../attribution/influence-index.ts'
import type { FormattedBase } from '../base-model.ts'
import { openGenerator } from '../serving/generator.ts'
import type { Example } from './examples.ts'

/** Answers that the null mean and deviation of every row are estimated from. */
const NULL_QUERIES = 64
const ANSWER_TOKENS = 48
/** How much of a text without a prompt is taken as one. */
const OPENING_TOKENS = 8

export type NullQueryJob = {
  base: FormattedBase
  adapter: Adapter
  heldOut: readonly Example[]
  train: readonly Example[]
  session: SessionOptions
  seed: number
}

/**
 * Answers to the prompts of held-out records, and of evenly spaced trained ones when those are too few; the latter say
 * nothing about other clusters' rows only. Half are greedy, half sampled. Deterministic.
 */
export async function generateNullQueries(job: NullQueryJob): Promise<NullQuery[]> {
  const { base, adapter, heldOut, train, session, seed } = job
  const missing = Math.max(0, NULL_QUERIES - heldOut.length)
  const asked = [
    ...spread(heldOut, NULL_QUERIES).map((example) => ({ example, cluster: null })),
    ...spread(train, missing).map((example) => ({ example, cluster: example.row.cluster })),
  ]
  // They are few: another copy of the base would cost more than faster products save.
  const generator = await openGenerator(base, { ...session, place: placeOf(session) })
  try {
    const queries = await Promise.all(
      asked.map(async ({ example, cluster }, i): Promise<NullQuery[]> => {
        const prompt = openingOf(example)
        const { tokens } = await generator.generate({
          prompt,
          adapter,
          sampling: { temperature: i % 2, topP: 1, topK: 0 },
          seed: seed + i,
          stop: [],
          maxTokens: ANSWER_TOKENS,
          signal: new AbortController().signal,
          onText: () => {},
        })
        if (tokens.length === 0) return []
        const targets = [...prompt.map(() => 0), ...tokens.map(() => 1)]
        return [{ sequence: { tokens: [...prompt, ...tokens], targets }, cluster }]
      }),
    )
    return queries.flat()
  } finally {
    await generator.release()
  }
}

/** The tokens before the first trained one, or the opening of a text that is trained from its start. */
function openingOf({ tokens, targets }: Example): number[] {
  const first = targets.indexOf(1)
  return tokens.slice(0, first > 1 ? first : OPENING_TOKENS)
}

/** At most `count` items, evenly spaced. */
const spread = <T>(items: readonly T[], count: number): T[] =>
  items.length <= count
    ? [...items]
    : Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)] as T)
