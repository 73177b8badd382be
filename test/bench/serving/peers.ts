/** Greedy decoding in float32 beside llama.cpp and transformers.js: the same weights and numbers of tokens, two threads. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '#engine/adapter-pack.ts'
import { exportGgufAdapter } from '#engine/models/export.ts'
import { loraConfig } from '#engine/models/lora.ts'
import { randomAdapter } from '#engine/testing.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import { openGenerator, type Generator } from '#gpu-worker/serving/generator.ts'
import { exportGgufBase } from '../../support/gguf-base.ts'
import { hasLlamaCpp, LLAMA_CPP_MISSING, openLlamaCpp } from '../../support/llama-cpp.ts'
import type { LlamaStream } from '../../support/llama-cpp.ts'
import { openTransformersJs } from '../../support/transformers-js.ts'
import { figure, progress, type Figure } from '../report.ts'
import { largeBase } from './large-base.ts'
import { ask, inTurn, promptOf, run, type Outcome } from './load.ts'
import { THREADS, type Place } from './place.ts'

const SINGLE_GOAL = 0.8
const MIXED_GOAL = 4
/** Tokens of an answer that must be llama.cpp's. */
const CHECKED = 24
const LARGE_TOKENS = 24

type Sides = {
  base: BaseModel
  generator: Generator
  adapters: readonly Adapter[]
  directory: string
  rounds: number
  tokens: number
  name: string
}

/** On the embedded base, whose tokens must be llama.cpp's. */
export async function smallPeers(place: Place, ways: number, tokens: number): Promise<Figure[]> {
  const { base, generator, rounds, openStore, scratch, refs } = place
  const store = openStore()
  const adapters: Adapter[] = []
  for (const ref of refs.slice(0, ways))
    adapters.push((await store.get(ref.digest, await store.check(ref))).adapter)
  const directory = join(scratch, 'peers')
  const sides = { base, generator, adapters, directory, rounds, tokens, name: base.name }
  await mkdir(directory)
  const transformers = await openTransformersJs(base, join(directory, 'transformers-js'), THREADS)
  const prompts = adapters.map((_, row) => promptOf(base, row))
  const batch = (streams: number) =>
    timed(streams * tokens, () => transformers.generate(prompts.slice(0, streams), tokens))
  try {
    return await against(sides, {
      check: true,
      others: { 'single transformers.js': batch(1), 'base transformers.js': batch(ways) },
    })
  } finally {
    await transformers.close()
  }
}

/** On a base of the size that people adapt, with random weights: there a step waits for memory, as it does in earnest. */
export async function largePeers(place: Place, ways: number): Promise<Figure[]> {
  if (!hasLlamaCpp()) return missing()
  const directory = join(place.scratch, 'large')
  const base = await largeBase(directory)
  const adapters = Array.from({ length: ways }, (_, i) =>
    randomAdapter(base.config, loraConfig(8), i + 1),
  )
  const generator = await openGenerator(base, { threads: THREADS, withBare: true })
  const { rounds } = place
  const sides = { base, generator, adapters, directory, rounds, tokens: LARGE_TOKENS }
  try {
    return await against({ ...sides, name: '109M parameters' }, { check: false, others: {} })
  } finally {
    await generator.release()
  }
}

const timed = (tokens: number, generate: () => Promise<unknown>) => async (): Promise<Outcome> => {
  const startedAt = performance.now()
  await generate()
  const seconds = (performance.now() - startedAt) / 1000
  return {
    tokensPerSecond: tokens / seconds,
    p95Seconds: seconds,
    firstTokenSeconds: Number.NaN,
  }
}

/** One stream, as many as there are adapters on the bare base, and each with its own: ours and llama.cpp's in turn. */
async function against(
  sides: Sides,
  options: { check: boolean; others: Record<string, () => Promise<Outcome>> },
): Promise<Figure[]> {
  const { base, generator, adapters, rounds, tokens, name } = sides
  const ways = adapters.length
  const ours = (streams: number, adapterOf: (row: number) => Adapter | null) => () =>
    run(
      generator,
      base,
      (row) => {
        const adapter = adapterOf(row)
        return adapter && { digest: `bench ${row}`, load: async () => adapter }
      },
      { requests: streams, clients: streams, tokens, temperature: 0 },
    )
  const llama = hasLlamaCpp() ? await openLlama(sides, options.check) : null
  const theirs = (streams: readonly LlamaStream[]) =>
    timed(streams.length * tokens, () => all(base, streams, tokens))
  progress(`  ${name}: ${rounds} rounds`)
  const { medians: seen } = await inTurn<string>(rounds, {
    single: ours(1, () => null),
    base: ours(ways, () => null),
    mixed: ours(ways, (row) => adapters[row] ?? null),
    ...options.others,
    ...(llama && {
      'single llama.cpp': theirs(llama.single),
      'base llama.cpp': theirs(llama.bare),
      'mixed llama.cpp': theirs(llama.adapted),
    }),
  })
  await llama?.close()
  if (!llama) missing()
  const titles = {
    single: `${name}: 1 stream`,
    base: `${name}: ${ways} streams`,
    mixed: `${name}: ${ways} streams, ${ways} adapters`,
  }
  const figures = Object.entries(titles).flatMap(([key, title]) =>
    ['llama.cpp', 'transformers.js'].flatMap((peer) => {
      const other = seen[`${key} ${peer}`]
      if (!other) return []
      const shape = { name: title, unit: 'tokens/s', better: 'higher' } as const
      const reference = { value: other.tokensPerSecond, name: peer }
      const least = peer !== 'llama.cpp' ? null : { single: SINGLE_GOAL, mixed: MIXED_GOAL }[key]
      const found = figure(shape, seen[key]?.tokensPerSecond ?? Number.NaN, reference)
      return [{ ...found, goal: least ? least * other.tokensPerSecond : null }]
    }),
  )
  return figures
}

const missing = (): Figure[] => {
  progress(`  ${LLAMA_CPP_MISSING}`)
  return []
}

const all = (base: BaseModel, streams: readonly LlamaStream[], tokens: number) =>
  Promise.all(streams.map((stream, row) => stream(promptOf(base, row), tokens)))

/** llama.cpp with the base once for all streams, and once per adapter. Throws when its tokens are checked and others. */
async function openLlama(
  { base, generator, adapters, directory }: Omit<Sides, 'tokens'>,
  check: boolean,
) {
  const model = join(directory, 'base.gguf')
  await writeFile(model, await exportGgufBase(base))
  const paths = await Promise.all(
    adapters.map(async (adapter, i) => {
      const path = join(directory, `adapter-${i}.gguf`)
      await writeFile(path, exportGgufAdapter(base.config, adapter))
      return path
    }),
  )
  const llama = await openLlamaCpp(model, THREADS)
  /** Sixteen contexts of one thread can be faster than as many of two, and a batch too: theirs is the faster one. */
  const faster = async (open: (threads: number) => Promise<LlamaStream[]>) => {
    const tried: { streams: LlamaStream[]; ms: number }[] = []
    for (let threads = 1; threads <= THREADS; threads++) {
      const streams = await open(threads)
      const startedAt = performance.now()
      await all(base, streams, 4)
      tried.push({ streams, ms: performance.now() - startedAt })
    }
    return tried.toSorted((a, b) => a.ms - b.ms)[0]?.streams ?? []
  }
  const single = await faster((threads) => llama.streams(1, undefined, threads))
  const bare = await faster((threads) => llama.streams(adapters.length, undefined, threads))
  const adapted = await faster(async (threads) => {
    const streams: LlamaStream[] = []
    for (const path of paths) streams.push(...(await llama.streams(1, path, threads)))
    return streams
  })
  const same = async (stream: LlamaStream | undefined, adapter: Adapter | null, seed: number) => {
    const source = adapter && { digest: 'checked', load: async () => adapter }
    const { tokens } = await ask(generator, base, source, { tokens: CHECKED, seed, temperature: 0 })
    const theirs = (await stream?.(promptOf(base, seed), CHECKED)) ?? []
    // Ours draws no control token here: what follows the first of theirs is another text.
    const end = theirs.findIndex((token) => base.tokenizer.special.has(token))
    const compared = end < 0 ? theirs : theirs.slice(0, end)
    if (compared.join() !== tokens.slice(0, compared.length).join())
      throw new Error(`llama.cpp writes ${theirs.join(' ')}, we ${tokens.join(' ')}`)
  }
  if (check) {
    await same(bare[0], null, 0)
    for (const i of [0, 1, 2]) await same(adapted[i], adapters[i] ?? null, i)
  }
  return { single, bare, adapted, close: llama.close }
}
