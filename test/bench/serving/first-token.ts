/** The first token of a lone request, by where its adapter is. */
import type { AdapterStore } from '#gpu-worker/serving/adapter-store.ts'
import { figure, quantile, type Figure } from '../report.ts'
import { ask, sourceOf } from './load.ts'
import type { Place } from './place.ts'

/** Hot, warm and cold: in memory, on disk, and in the store that stands for the edge's. */
export async function firstTokens(place: Place): Promise<Figure[]> {
  const { base, generator, refs, openStore, rounds } = place
  const times = 5 * rounds
  const fill = async (store: AdapterStore): Promise<AdapterStore> => {
    for (const ref of refs.slice(0, times)) await store.get(ref.digest, await store.check(ref))
    return store
  }
  const hot = await fill(openStore()) // the shared disk has them from now on
  const tiers: Record<string, () => AdapterStore> = {
    'in memory': () => hot,
    'from disk': () => openStore(),
    'from the store of the edge': () => openStore({ disk: 'empty' }),
  }
  const figures: Figure[] = []
  for (const [tier, open] of Object.entries(tiers)) {
    const seconds: number[] = []
    const plain: number[] = []
    for (let round = 0; round < times; round++) {
      const source = sourceOf(open(), refs[round % refs.length] ?? refs[0])
      const shape = { tokens: 4, seed: round }
      seconds.push((await ask(generator, base, source, shape)).first)
      plain.push((await ask(generator, base, null, shape)).first)
    }
    const reference = { value: quantile(plain, 0.5), name: 'base only' }
    const name = `first token, adapter ${tier}`
    figures.push(figure({ name, unit: 's', better: 'lower' }, quantile(seconds, 0.5), reference))
  }
  return figures
}
