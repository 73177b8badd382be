/** Throughput and latency by the number of registered adapters, and of a batch in which every row has its own. */
import { randomSource } from '#engine/random.ts'
import type { AdapterStore } from '#gpu-worker/serving/adapter-store.ts'
import { figure, type Figure } from '../report.ts'
import type { Place } from './place.ts'
import { draw, inTurn, run, sourceOf, type Load, type Outcome } from './load.ts'

/** S-LoRA's drop from 5 to 2,000 adapters (Sheng et al. 2024, table 3). */
const MANY_GOAL = 0.94
const MIXED_GOAL = 0.85
const FEW = 5

/**
 * A closed loop of clients whose requests name adapters by Zipf's law, then uniformly. The counts beyond what memory
 * holds are part of it: there the disk is read again and again.
 */
export async function manyAdapters(
  { base, generator, refs, openStore, rounds }: Place,
  registered: readonly number[],
  load: Load,
): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const kind of ['zipf', 'uniform'] as const) {
    const stores = new Map<number, AdapterStore>(registered.map((n) => [n, openStore()]))
    const loads: Record<string, () => Promise<Outcome>> = {
      base: () => run(generator, base, () => null, load),
    }
    for (const [n, store] of stores) {
      const random = randomSource(n)
      loads[n] = () =>
        run(generator, base, () => sourceOf(store, refs[draw(kind, n, random)] ?? refs[0]), load)
    }
    const seen = await inTurn(rounds, loads)
    const plain = seen['base']
    if (!plain) throw new Error('the base was not measured')
    for (const [n, store] of stores) {
      const outcome = seen[n] ?? plain
      const name = `${n} adapters, ${kind}`
      const { hits, misses, evictions } = store.load()
      figures.push(
        figure({ name, unit: 'tokens/s', better: 'higher' }, outcome.tokensPerSecond, {
          value: plain.tokensPerSecond,
          name: 'base only',
        }),
        figure({ name: `${name}: p95`, unit: 's', better: 'lower' }, outcome.p95Seconds, {
          value: plain.p95Seconds,
          name: 'base only',
        }),
        figure(
          { name: `${name}: found in memory`, unit: 'share', better: 'higher' },
          hits / (hits + misses),
        ),
        figure({ name: `${name}: evicted`, unit: 'adapters', better: 'lower' }, evictions),
      )
    }
    const most = Math.max(...registered)
    const [few, many] = [seen[FEW], seen[most]]
    if (!few || !many) throw new Error(`${FEW} adapters were not measured`)
    figures.push({
      ...figure(
        { name: `${most} adapters over ${FEW}, ${kind}`, unit: 'ratio', better: 'higher' },
        many.tokensPerSecond / few.tokensPerSecond,
      ),
      goal: MANY_GOAL,
    })
  }
  return figures
}

/** Sixteen streams: the bare base, one adapter for all, an adapter for each. */
export async function mixedBatch(
  { base, generator, refs, openStore, rounds }: Place,
  ways: number,
  tokens: number,
): Promise<Figure[]> {
  const store = openStore()
  const load = { requests: ways, clients: ways, tokens }
  const streams = (adapterOf: (row: number) => number | null) => () =>
    run(
      generator,
      base,
      (row) => {
        const at = adapterOf(row)
        return at === null ? null : sourceOf(store, refs[at] ?? refs[0])
      },
      load,
    )
  await streams((row) => row)() // loads them
  const seen = await inTurn(2 * rounds, {
    base: streams(() => null),
    one: streams(() => 0),
    each: streams((row) => row),
  })
  const reference = { value: seen.base.tokensPerSecond, name: 'base only' }
  const shape = { unit: 'tokens/s', better: 'higher' } as const
  return [
    figure({ name: `${ways} streams, one adapter`, ...shape }, seen.one.tokensPerSecond, reference),
    figure(
      { name: `${ways} streams, ${ways} adapters`, ...shape },
      seen.each.tokensPerSecond,
      reference,
    ),
    {
      ...figure(
        { name: `${ways} adapters over base only`, unit: 'ratio', better: 'higher' },
        seen.each.tokensPerSecond / seen.base.tokensPerSecond,
      ),
      goal: MIXED_GOAL,
    },
  ]
}
