/** Throughput and latency by the number of registered adapters, and of a batch in which every row has its own. */
import { randomSource } from '#engine/random.ts'
import type { AdapterStore } from '#gpu-worker/serving/adapter-store.ts'
import { figure, progress, type Figure } from '../report.ts'
import type { Place } from './place.ts'
import { draw, inTurn, run, sourceOf, type Load, type Outcome } from './load.ts'

/** S-LoRA's drop from 5 to 2,000 adapters (Sheng et al. 2024, table 3). */
const MANY_GOAL = 0.94
const MIXED_GOAL = 0.85
const FEW = 5 // measured right before the most

/** Of the adapters, when memory is scarce. */
const SCARCE = 1 / 10

/**
 * A closed loop of clients whose requests name adapters by Zipf's law, then uniformly. All adapters are in the host's
 * memory; at last memory holds a tenth of them, and the others come from disk.
 */
export async function manyAdapters(
  { base, generator, refs, openStore, rounds }: Place,
  registered: readonly number[],
  load: Load,
): Promise<Figure[]> {
  const most = Math.max(...registered)
  const roomy = openStore()
  for (const [i, ref] of refs.entries()) {
    if (i % 500 === 0) progress(`  ${i} of ${refs.length} adapters are in memory`)
    await roomy.get(ref.digest, await roomy.check(ref))
  }
  const scarce = openStore({ mostBytes: SCARCE * roomy.load().adapters.residentBytes })
  const figures: Figure[] = []
  for (const kind of ['zipf', 'uniform'] as const) {
    progress(`  ${kind}`)
    const loadOf = (store: AdapterStore, n: number) => {
      const random = randomSource(n)
      return () =>
        run(generator, base, () => sourceOf(store, refs[draw(kind, n, random)] ?? refs[0]), load)
    }
    const loads: Record<string, () => Promise<Outcome>> = {
      base: () => run(generator, base, () => null, load),
      ...Object.fromEntries(registered.map((n) => [`${n} adapters`, loadOf(roomy, n)])),
      [`${most} adapters, a tenth in memory`]: loadOf(scarce, most),
    }
    const { medians, ratio } = await inTurn(rounds, loads)
    const { base: plain, ...seen } = medians
    if (!plain) throw new Error('the base was not measured')
    for (const [name, outcome] of Object.entries(seen)) {
      const rate = { value: plain.tokensPerSecond, name: 'base only' }
      const p95 = { value: plain.p95Seconds, name: 'base only' }
      const title = `${name}, ${kind}`
      figures.push(
        figure({ name: title, unit: 'tokens/s', better: 'higher' }, outcome.tokensPerSecond, rate),
        figure({ name: `${title}: p95`, unit: 's', better: 'lower' }, outcome.p95Seconds, p95),
      )
    }
    figures.push({
      ...figure(
        { name: `${most} adapters over ${FEW}, ${kind}`, unit: 'ratio', better: 'higher' },
        ratio(`${most} adapters`, `${FEW} adapters`),
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
  const { medians: seen, ratio } = await inTurn(4 * rounds, {
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
        ratio('each', 'base'),
      ),
      goal: MIXED_GOAL,
    },
  ]
}
