import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomSource } from '#engine/random.ts'
import { openAdapterStore } from '#gpu-worker/serving/adapter-store.ts'
import { diskBlobs } from '#gpu-worker/serving/disk-blobs.ts'
import { openGenerator } from '#gpu-worker/serving/generator.ts'
import { benchFlags, figure, printReport, quantile, type Figure } from './report.ts'
import { makeAdapters } from './serving/adapters.ts'
import { ask, draw, run, sourceOf, type Outcome } from './serving/load.ts'

/**
 * Figures of serving many adapters of one base: `npm run bench:serving [-- --quick] [-- --json]`. The engine, scheduler
 * and tiers as the worker runs them, without HTTP and attribution. Base and adapters take turns in one process, so
 * that the ratios hold on a busy machine; every number is the median of the rounds.
 */

const flags = benchFlags(process.argv.slice(2))
const registered = flags.quick ? [16, 64] : [1, 16, 64, 256, 1_000, 2_000]
const rounds = flags.quick ? 2 : 5
const load = flags.quick
  ? { requests: 32, clients: 32, tokens: 12 }
  : { requests: 256, clients: 32, tokens: 32 }
const median = (of: readonly Outcome[], key: keyof Outcome): number =>
  quantile(
    of.map((one) => one[key]),
    0.5,
  )
const WAYS = 16
const THREADS = 2

const scratch = await mkdtemp(join(tmpdir(), 'openledger-serving-'))
try {
  const most = Math.max(...registered)
  const { base, refs, chain, remote } = await makeAdapters(
    join(scratch, 'remote'),
    Math.max(most, WAYS),
  )
  const generator = await openGenerator(base, { threads: THREADS })
  let places = 0
  const openStore = (directory = join(scratch, `disk-${places++}`)) =>
    openAdapterStore({ base, chain, blobs: diskBlobs(directory, remote) })
  const figures: Figure[] = []
  const store = openStore()
  await run(generator, base, () => null, load) // warms the runtime up

  const compare = async (measure: () => Promise<Outcome>, plain: () => Promise<Outcome>) => {
    const ours: Outcome[] = []
    const reference: Outcome[] = []
    for (let round = 0; round < rounds; round++) {
      ours.push(await measure())
      reference.push(await plain())
    }
    return (key: keyof Outcome) => ({
      ours: median(ours, key),
      reference: { value: median(reference, key), name: 'base only' },
    })
  }
  const bare = (shape: typeof load) => () => run(generator, base, () => null, shape)

  for (const kind of ['zipf', 'uniform'] as const)
    for (const n of kind === 'uniform' && flags.quick ? registered.slice(-1) : registered) {
      const random = randomSource(n)
      const measure = () =>
        run(
          generator,
          base,
          () => {
            const ref = refs[draw(kind, n, random)]
            return ref ? sourceOf(store, ref) : null
          },
          load,
        )
      const of = await compare(measure, bare(load))
      const { ours, reference } = of('tokensPerSecond')
      const name = `${n} adapters, ${kind}`
      figures.push(figure({ name, unit: 'tokens/s', better: 'higher' }, ours, reference))
      const p95 = of('p95Seconds')
      figures.push(
        figure({ name: `${name}, p95`, unit: 's', better: 'lower' }, p95.ours, p95.reference),
      )
    }
  const throughput = (n: number) => figures.find(({ name }) => name === `${n} adapters, zipf`)
  const [few, many] = [throughput(16), throughput(most)]
  if (few?.ratio && many?.ratio)
    figures.push({
      ...figure(
        {
          name: `${most} adapters against 16, zipf, both over base`,
          unit: 'ratio',
          better: 'higher',
        },
        many.ratio / few.ratio,
      ),
      goal: 0.94,
    })

  const ways = { requests: WAYS, clients: WAYS, tokens: 2 * load.tokens }
  const mixed = await compare(
    () => run(generator, base, (i) => sourceOf(store, refs[i] ?? refs[0]!), ways),
    bare(ways),
  )
  const { ours, reference } = mixed('tokensPerSecond')
  figures.push({
    ...figure(
      { name: `${WAYS} streams, ${WAYS} adapters`, unit: 'tokens/s', better: 'higher' },
      ours,
      reference,
    ),
    goal: 0.85,
  })

  /** First text of a lone request; `prepare` sets the tiers up. */
  const firstToken = async (
    tier: string,
    prepare: () => Promise<() => ReturnType<typeof openStore>>,
  ) => {
    const seconds: number[] = []
    const plain: number[] = []
    for (let round = 0; round < 2 * rounds; round++) {
      const opened = (await prepare())()
      const ref = refs[round % refs.length]!
      const shape = { tokens: 4, seed: round }
      seconds.push((await ask(generator, base, sourceOf(opened, ref), shape)).first)
      plain.push((await ask(generator, base, null, shape)).first)
    }
    figures.push(
      figure({ name: `first token, ${tier}`, unit: 's', better: 'lower' }, quantile(seconds, 0.5), {
        value: quantile(plain, 0.5),
        name: 'base only',
      }),
    )
  }
  const fill = async (opened: ReturnType<typeof openStore>) => {
    for (const ref of refs.slice(0, 2 * rounds))
      await opened.get(ref.digest, await opened.check(ref))
    return opened
  }
  const hot = await fill(openStore())
  const warmDisk = join(scratch, 'warm')
  await fill(openStore(warmDisk))
  await firstToken('in memory', async () => () => hot)
  await firstToken('from disk', async () => () => openStore(warmDisk))
  await firstToken('from the store of the edge', async () => () => openStore())

  const single = { requests: 2, clients: 1, tokens: 4 * load.tokens }
  const alone = await run(generator, base, () => null, single)
  // llama.cpp would need the base as GGUF, transformers.js as an ONNX file of its own: neither is there.
  const name = '1 stream, base; llama.cpp and transformers.js are missing'
  figures.push(figure({ name, unit: 'tokens/s', better: 'higher' }, alone.tokensPerSecond))
  await generator.release()
  printReport('serving', figures, flags)
} finally {
  await rm(scratch, { recursive: true, force: true })
}
