/** A closed loop of clients on a generator, and what they saw. */
import { randomSource } from '#engine/random.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import type { AdapterRef, AdapterStore } from '#gpu-worker/serving/adapter-store.ts'
import type { AdapterSource } from '#gpu-worker/serving/adapter-source.ts'
import type { Generator } from '#gpu-worker/serving/generator.ts'
import { quantile } from '../report.ts'

export const PROMPT_TOKENS = 24

export type Outcome = { tokensPerSecond: number; p95Seconds: number; firstTokenSeconds: number }

/** Requests of so many tokens each, so many at a time; temperature 1 when absent. */
export type Load = { requests: number; clients: number; tokens: number; temperature?: number }

export type Turns<Name extends string> = {
  /** The medians of each load. */
  medians: Record<Name, Outcome>
  /** The median over the rounds of one load's tokens per second over another's. */
  ratio: (of: Name, over: Name) => number
}

/** Runs several loads in turn, so often: what disturbs one disturbs its neighbours. */
export async function inTurn<Name extends string>(
  rounds: number,
  loads: Readonly<Record<Name, () => Promise<Outcome>>>,
): Promise<Turns<Name>> {
  const names = Object.keys(loads) as Name[]
  const seen = new Map<Name, Outcome[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++)
    for (const name of names) seen.get(name)?.push(await loads[name]())
  const median = (name: Name, key: keyof Outcome): number =>
    quantile(
      (seen.get(name) ?? []).map((outcome) => outcome[key]),
      0.5,
    )
  const each = names.map((name): [Name, Outcome] => [
    name,
    {
      tokensPerSecond: median(name, 'tokensPerSecond'),
      p95Seconds: median(name, 'p95Seconds'),
      firstTokenSeconds: median(name, 'firstTokenSeconds'),
    },
  ])
  const rates = (name: Name) => (seen.get(name) ?? []).map((outcome) => outcome.tokensPerSecond)
  return {
    medians: Object.fromEntries(each) as Record<Name, Outcome>,
    ratio: (of, over) =>
      quantile(
        rates(of).map((rate, round) => rate / (rates(over)[round] ?? Number.NaN)),
        0.5,
      ),
  }
}

/** Draws an index below n: by Zipf's law with exponent 1, or uniformly. */
export function draw(kind: 'zipf' | 'uniform', n: number, random: () => number): number {
  if (kind === 'uniform') return Math.floor(random() * n)
  let left = random() * Array.from({ length: n }, (_, i) => 1 / (i + 1)).reduce((a, b) => a + b, 0)
  for (let i = 0; i < n; i++) if ((left -= 1 / (i + 1)) < 0) return i
  return n - 1
}

/** The adapter as the service asks for it: checked, then fetched while its request waits. */
export const sourceOf = (store: AdapterStore, ref: AdapterRef): AdapterSource => ({
  digest: ref.digest,
  load: async () => (await store.get(ref.digest, await store.check(ref))).adapter,
})

/** Random words, PROMPT_TOKENS long. */
export function promptOf({ config }: BaseModel, seed: number): number[] {
  const random = randomSource(seed)
  return Array.from(
    { length: PROMPT_TOKENS },
    () => 300 + Math.floor(random() * (config.vocab - 300)),
  )
}

/** One answer of exactly so many tokens; seconds to its first text and to its end. */
export async function ask(
  generator: Generator,
  base: BaseModel,
  adapter: AdapterSource | null,
  {
    tokens,
    seed,
    temperature = 1,
    onText = () => {},
  }: {
    tokens: number
    seed: number
    temperature?: number | undefined
    onText?: () => void
  },
): Promise<{ first: number; whole: number; tokens: number[] }> {
  const ends = [...base.tokenizer.special, ...base.tokenizer.endTokens]
  const startedAt = performance.now()
  let first = 0
  const { completionTokens, tokens: drawn } = await generator.generate({
    prompt: promptOf(base, seed),
    adapter,
    // No answer ends early: all runs generate the same number of tokens.
    sampling: {
      temperature,
      topP: 1,
      topK: 0,
      logitBias: Object.fromEntries(ends.map((token) => [token, -100])),
    },
    seed,
    stop: [],
    maxTokens: tokens,
    signal: new AbortController().signal,
    onText: () => {
      first ||= performance.now() - startedAt
      onText()
    },
  })
  if (completionTokens !== tokens) throw new Error(`${completionTokens} tokens, not ${tokens}`)
  return { first: first / 1000, whole: (performance.now() - startedAt) / 1000, tokens: drawn }
}

/** Runs `requests` answers, so many at a time; `adapterOf` names the adapter of each, null for the bare base. */
export async function run(
  generator: Generator,
  base: BaseModel,
  adapterOf: (request: number) => AdapterSource | null,
  { requests, clients, tokens, temperature }: Load,
): Promise<Outcome> {
  const firsts: number[] = []
  const wholes: number[] = []
  let next = 0
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (let i = next++; i < requests; i = next++) {
        const { first, whole } = await ask(generator, base, adapterOf(i), {
          tokens,
          seed: i,
          temperature,
        })
        firsts.push(first)
        wholes.push(whole)
      }
    }),
  )
  return {
    tokensPerSecond: (1000 * requests * tokens) / (performance.now() - startedAt),
    p95Seconds: quantile(wholes, 0.95),
    firstTokenSeconds: quantile(firsts, 0.5),
  }
}
