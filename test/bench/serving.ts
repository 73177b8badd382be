import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { benchFlags, printReport, type Figure } from './report.ts'
import { firstTokens } from './serving/first-token.ts'
import { run } from './serving/load.ts'
import { manyAdapters, mixedBatch } from './serving/many-adapters.ts'
import { peers } from './serving/peers.ts'
import { openPlace } from './serving/place.ts'

/**
 * Figures of serving many adapters of one base: `npm run bench:serving [-- --quick] [-- --json]`. The engine, scheduler
 * and tiers as the worker runs them, without HTTP and attribution. What is compared takes turns in one process, so that
 * the ratios hold on a busy machine; every number is the median of the rounds.
 */

const flags = benchFlags(process.argv.slice(2))
const registered = flags.quick ? [5, 64] : [1, 5, 16, 64, 256, 1_000, 2_000]
const rounds = flags.quick ? 3 : 5
const load = flags.quick
  ? { requests: 48, clients: 32, tokens: 16 }
  : { requests: 256, clients: 32, tokens: 32 }
const streamTokens = flags.quick ? 48 : 128
const WAYS = 16

const scratch = await mkdtemp(join(tmpdir(), 'openledger-serving-'))
try {
  const place = await openPlace(scratch, Math.max(WAYS, ...registered), rounds)
  await run(place.generator, place.base, () => null, load) // warms the runtime up
  const parts: Record<string, () => Promise<Figure[]>> = {
    'a batch of many adapters': () => mixedBatch(place, WAYS, streamTokens),
    'many registered adapters': () => manyAdapters(place, registered, load),
    'first tokens': () => firstTokens(place),
    'llama.cpp and transformers.js': () => peers(place, WAYS, streamTokens),
  }
  const figures: Figure[] = []
  for (const [name, measure] of Object.entries(parts)) {
    process.stderr.write(`${Math.round(performance.now() / 1000)} s: ${name}\n`)
    figures.push(...(await measure()))
  }
  await place.generator.release()
  printReport('serving', figures, flags)
} finally {
  await rm(scratch, { recursive: true, force: true })
}
