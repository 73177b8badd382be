/** A running stream while an adapter's attribution index is loaded beside it. */
import { figure, quantile, type Figure } from '../report.ts'
import { ask } from './load.ts'
import type { Place } from './place.ts'

const STREAM_TOKENS = 128
/** The load begins once the stream flows. */
const BEGIN_AFTER = 32

/**
 * The longest gap between two tokens of one stream, without a load and with one, and the processor time that a load takes of
 * the thread that generates, which is the same on a busy machine.
 */
export async function indexLoads({
  base,
  generator,
  trained,
  openStore,
  rounds,
}: Place): Promise<Figure[]> {
  const opened = async () => {
    const store = openStore()
    const onChain = await store.check(trained)
    await store.get(trained.digest, onChain)
    return () => store.index(trained.digest, onChain)
  }
  const longestGap = async (during: () => Promise<unknown>): Promise<number> => {
    const times: number[] = []
    let loading: Promise<unknown> | null = null
    await ask(generator, base, null, {
      tokens: STREAM_TOKENS,
      seed: 1,
      onText: () => {
        if (times.push(performance.now()) === BEGIN_AFTER) loading = during()
      },
    })
    await loading
    const gaps = times.slice(BEGIN_AFTER).map((time, i) => time - (times[BEGIN_AFTER + i - 1] ?? 0))
    return Math.max(...gaps) / 1000
  }
  await (
    await opened()
  )() // starts the thread that reads indexes
  const [quiet, loaded, blocked]: number[][] = [[], [], []]
  for (let round = 0; round < 5 * rounds; round++) {
    quiet?.push(await longestGap(async () => {}))
    loaded?.push(await longestGap(await opened()))
    const load = await opened()
    const before = process.threadCpuUsage()
    await load()
    const { user, system } = process.threadCpuUsage(before)
    blocked?.push((user + system) / 1e6)
  }
  const [alone = Number.NaN, beside = Number.NaN, busy = Number.NaN] = [quiet, loaded, blocked].map(
    (seconds = []) => quantile(seconds, 0.5),
  )
  const shape = { unit: 's', better: 'lower' } as const
  return [
    figure({ name: 'longest gap between tokens while an index loads', ...shape }, beside, {
      value: alone,
      name: 'no load',
    }),
    figure({ name: 'processor time of the generating thread per index load', ...shape }, busy),
  ]
}
