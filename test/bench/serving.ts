import { benchFlags, progress, runParts, type Figure } from './report.ts'
import { firstTokens } from './serving/first-token.ts'
import { indexLoads } from './serving/index-load.ts'
import { run } from './serving/load.ts'
import { manyAdapters, mixedBatch } from './serving/many-adapters.ts'
import { largePeers, smallPeers } from './serving/peers.ts'
import { openPlace } from './serving/place.ts'
import { scratchFolder } from '../support/scratch.ts'

/**
 * Figures of serving many adapters of one base: `npm run bench:serving [-- --quick] [-- --json]`. The engine, scheduler
 * and tiers as the worker runs them, without HTTP and attribution. What is compared takes turns, so that the ratios
 * hold on a busy machine; every number is the median of the rounds.
 */

const flags = benchFlags(process.argv.slice(2))
const registered = flags.quick ? [5, 256] : [1, 16, 64, 256, 1_000, 5, 2_000]
const rounds = flags.quick ? 2 : 3
const load = flags.quick
  ? { requests: 64, clients: 32, tokens: 16 }
  : { requests: 192, clients: 32, tokens: 32 }
const streamTokens = flags.quick ? 32 : 96
const WAYS = 16

const scratch = scratchFolder()
progress(`making ${Math.max(...registered)} adapters`)
const place = await openPlace(scratch, Math.max(WAYS, ...registered), rounds)
await run(place.generator, place.base, () => null, load) // warms the runtime up
const parts: Record<string, () => Promise<Figure[]>> = {
  'a batch of many adapters': () => mixedBatch(place, WAYS, streamTokens),
  'many registered adapters': () => manyAdapters(place, registered, load),
  'first tokens': () => firstTokens(place),
  'an index beside a stream': () => indexLoads(place),
  'llama.cpp and transformers.js': () => smallPeers(place, WAYS, streamTokens),
  ...(!flags.quick && { 'llama.cpp on a larger base': () => largePeers(place, WAYS) }),
}
await runParts('serving', flags, parts)
await place.generator.release()
