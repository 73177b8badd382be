/** Greedy decoding in float32 beside llama.cpp and transformers.js: the same weights, threads and numbers of tokens. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '#engine/adapter-pack.ts'
import { exportGgufAdapter } from '#engine/models/export.ts'
import { exportGgufBase } from '../../support/gguf-base.ts'
import { hasLlamaCpp, LLAMA_CPP_MISSING, openLlamaCpp } from '../../support/llama-cpp.ts'
import type { LlamaStream } from '../../support/llama-cpp.ts'
import { openTransformersJs } from '../../support/transformers-js.ts'
import { figure, type Figure } from '../report.ts'
import { ask, inTurn, promptOf, run, type Outcome } from './load.ts'
import { THREADS, type Place } from './place.ts'

const SINGLE_GOAL = 0.8
const MIXED_GOAL = 4
/** Tokens of an answer that must be llama.cpp's. */
const CHECKED = 24

export async function peers(place: Place, ways: number, tokens: number): Promise<Figure[]> {
  const { base, generator, scratch, rounds } = place
  const adapters = await loadAdapters(place, ways)
  const prompts = adapters.map((_, row) => promptOf(base, row))
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
  const timed =
    (streams: number, generate: () => Promise<unknown>) => async (): Promise<Outcome> => {
      const startedAt = performance.now()
      await generate()
      const seconds = (performance.now() - startedAt) / 1000
      const tokensPerSecond = (streams * tokens) / seconds
      return { tokensPerSecond, p95Seconds: seconds, firstTokenSeconds: Number.NaN }
    }

  const transformers = await openTransformersJs(base, join(scratch, 'transformers-js'), THREADS)
  const batch = (streams: number) => () => transformers.generate(prompts.slice(0, streams), tokens)
  const llama = await openLlama(place, adapters)
  const all = (streams: readonly LlamaStream[]) => () =>
    Promise.all(streams.map((stream, row) => stream(prompts[row] ?? [], tokens)))
  const seen = await inTurn<string>(rounds, {
    single: ours(1, () => null),
    'single transformers.js': timed(1, batch(1)),
    ...(llama && { 'single llama.cpp': timed(1, all(llama.bare.slice(0, 1))) }),
    base: ours(ways, () => null),
    'base transformers.js': timed(ways, batch(ways)),
    ...(llama && { 'base llama.cpp': timed(ways, all(llama.bare)) }),
    mixed: ours(ways, (row) => adapters[row] ?? null),
    ...(llama && { 'mixed llama.cpp': timed(ways, all(llama.adapted)) }),
  })
  await llama?.close()
  await transformers.close()

  const rate = (key: string): number => seen[key]?.tokensPerSecond ?? Number.NaN
  const against = (name: string, key: string, peer: string): Figure[] => {
    const theirs = seen[`${key} ${peer}`]
    if (!theirs) return []
    const reference = { value: theirs.tokensPerSecond, name: peer }
    const shape = { name: `${name}, greedy`, unit: 'tokens/s', better: 'higher' } as const
    return [figure(shape, rate(key), reference)]
  }
  const goal = (name: string, key: string, least: number): Figure[] =>
    llama
      ? [
          {
            ...figure(
              { name: `${name} over llama.cpp`, unit: 'ratio', better: 'higher' },
              rate(key) / rate(`${key} llama.cpp`),
            ),
            goal: least,
          },
        ]
      : []
  if (!llama) process.stderr.write(`${LLAMA_CPP_MISSING}\n`)
  return [
    ...against('1 stream, base', 'single', 'llama.cpp'),
    ...against('1 stream, base', 'single', 'transformers.js'),
    ...against(`${ways} streams, base`, 'base', 'llama.cpp'),
    ...against(`${ways} streams, base`, 'base', 'transformers.js'),
    ...against(`${ways} streams, ${ways} adapters`, 'mixed', 'llama.cpp'),
    ...goal('1 stream', 'single', SINGLE_GOAL),
    ...goal(`${ways} streams, ${ways} adapters`, 'mixed', MIXED_GOAL),
  ]
}

async function loadAdapters({ refs, openStore }: Place, count: number): Promise<Adapter[]> {
  const store = openStore()
  const loaded: Adapter[] = []
  for (const ref of refs.slice(0, count))
    loaded.push((await store.get(ref.digest, await store.check(ref))).adapter)
  return loaded
}

/** llama.cpp with the base once for all streams, and once per adapter, or null. Throws when its tokens are others. */
async function openLlama({ base, generator, scratch }: Place, adapters: readonly Adapter[]) {
  if (!hasLlamaCpp()) return null
  const model = join(scratch, 'base.gguf')
  await writeFile(model, await exportGgufBase(base))
  const llama = await openLlamaCpp(model, THREADS)
  const bare = await llama.streams(adapters.length)
  const adapted: LlamaStream[] = []
  for (const [i, adapter] of adapters.entries()) {
    const path = join(scratch, `adapter-${i}.gguf`)
    await writeFile(path, exportGgufAdapter(base.config, adapter))
    adapted.push(...(await llama.streams(1, path)))
  }
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
  await same(bare[0], null, 0)
  for (const i of [0, 1, 2]) await same(adapted[i], adapters[i] ?? null, i)
  return { bare, adapted, close: llama.close }
}
