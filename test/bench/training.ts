import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseLlamaConfig } from '#engine/models/config.ts'
import { initialParameters } from '#engine/models/parameters.ts'
import { randomSource } from '#engine/random.ts'
import { writeSafetensors } from '#engine/safetensors.ts'
import { EMBEDDED_MODEL } from '#gpu-worker/testing/tiny-model.ts'
import { benchFlags, figure, progress, quantile, runParts, type Figure } from './report.ts'
import { SMOLLM2_135M } from './training/smollm2.ts'
import { startSide, type Side, type Task } from './training/process.ts'
import { scratchFolder } from '../support/scratch.ts'

/**
 * Figures of training: `npm run bench:training [-- --quick] [-- --json]`. Whole steps of LoRA training on full batches, forward,
 * backward, clipping and AdamW, in float32 with the same base weights, tokens, adapter shape and threads as PyTorch with
 * Hugging Face PEFT, which OPENLEDGER_PYTHON (or python3) has to have. Each side is a process; they take their steps in turn,
 * and the one that waits sleeps. Then memory: peaks of both, and of whole jobs, index included, beside what the estimate says.
 */

const THREADS = 2
const GOAL_SPEED = 1.25
const GOAL_MEMORY_MIB = 4 * 1024
const MIB = 2 ** 20

const flags = benchFlags(process.argv.slice(2))
const script = (name: string) => join(import.meta.dirname, 'training', name)
const python = process.env['OPENLEDGER_PYTHON'] ?? 'python3'

type Shape = { name: string; model: string; vocab: number; rows: number; length: number }

function taskOf({ model, vocab, rows, length }: Shape, change: Partial<Task> = {}): Task {
  const random = randomSource(1)
  const batch = () => Array.from({ length: rows * length }, () => Math.floor(random() * vocab))
  return {
    model,
    threads: THREADS,
    rank: 8,
    alpha: 16,
    learningRate: 1e-3,
    rows,
    length,
    batches: [batch(), batch()],
    recompute: false,
    format: 'f32',
    ...change,
  }
}

const ours = (task: Task, name = 'ours.ts') => startSide(process.execPath, [script(name)], task)

/** PyTorch's side, or null with the reason on stderr. */
const peer = (task: Task): Promise<Side | null> =>
  startSide(python, [script('peer.py')], task).catch((error: unknown) => {
    const why = String(error).trim().split('\n').at(-1)
    progress(`  PyTorch with PEFT is missing (${python}, named by OPENLEDGER_PYTHON): ${why}`)
    return null
  })

/** Tokens a second and peak memory of both, steps in turn. */
async function compare(shape: Shape, rounds: number): Promise<Figure[]> {
  const task = taskOf(shape)
  const sides = { ours: await ours(task), peer: await peer(task) }
  const [first] = (await sides.ours.steps(1)).losses
  const [theirs] = (await sides.peer?.steps(1))?.losses ?? []
  // B is zero at first: both compute the loss of the base, or they do not compare.
  if (first === undefined || (theirs !== undefined && Math.abs(first - theirs) > 1e-3 * first))
    throw new Error(`${shape.name}: the first losses are ${first} and ${theirs}`)
  const seconds = { ours: [] as number[], peer: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    seconds.ours.push((await sides.ours.steps(1)).seconds)
    if (sides.peer) seconds.peer.push((await sides.peer.steps(1)).seconds)
  }
  const rate = (of: readonly number[]) => (shape.rows * shape.length) / quantile(of, 0.5)
  const peak = { ours: await sides.ours.end(), peer: await sides.peer?.end() }
  const { name } = sides.peer ?? {}
  const speed = figure(
    { name: `${shape.name}, training`, unit: 'tokens/s', better: 'higher' },
    rate(seconds.ours),
    name === undefined ? undefined : { value: rate(seconds.peer), name },
  )
  const memory = figure(
    { name: `${shape.name}, peak memory`, unit: 'MiB', better: 'lower' },
    peak.ours / MIB,
    name === undefined || peak.peer === undefined ? undefined : { value: peak.peer / MIB, name },
  )
  return [{ ...speed, goal: speed.reference && GOAL_SPEED * speed.reference }, memory]
}

/** Peak of a whole job, beside the estimate that the API gives. */
async function memoryOf(shape: Shape, what: string, change: Partial<Task>): Promise<Figure> {
  const side = await ours(taskOf(shape, change), 'job.ts')
  await side.steps(1)
  const peak = await side.end()
  return figure(
    { name: `${shape.name}, ${what}, peak of a job`, unit: 'MiB', better: 'lower' },
    peak / MIB,
    { value: Number(side.name) / MIB, name: 'estimate' },
  )
}

const scratch = scratchFolder()
const model = join(scratch, 'smollm2-135m')
await mkdir(model)
const config = parseLlamaConfig(SMOLLM2_135M)
await writeFile(join(model, 'config.json'), JSON.stringify(SMOLLM2_135M))
await writeFile(join(model, 'model.safetensors'), writeSafetensors(initialParameters(config, 1)))
// Any tokenizer will do: the texts are drawn as tokens.
for (const name of ['tokenizer.json', 'tokenizer_config.json'])
  await copyFile(join(EMBEDDED_MODEL, name), join(model, name))
const embedded = { name: 'openledger-5m 8 x 128', model: EMBEDDED_MODEL, vocab: 4096 }
const smol = { name: 'SmolLM2-135M shape 4 x 128', model, vocab: config.vocab }
const small: Shape = { ...embedded, rows: 8, length: 128 }
const large: Shape = { ...smol, rows: 4, length: 128 }
const long: Shape = { ...smol, name: 'SmolLM2-135M shape 4 x 256', rows: 4, length: 256 }
const recomputed = async (): Promise<Figure[]> => [
  { ...(await memoryOf(long, 'recompute', { recompute: true })), goal: GOAL_MEMORY_MIB },
]
const memory = (shape: Shape, what: string, change: Partial<Task>) => async () => [
  await memoryOf(shape, what, change),
]
await runParts('training', flags, {
  [small.name]: () => compare(small, flags.quick ? 5 : 15),
  'memory with recompute': recomputed,
  [large.name]: () => compare(large, flags.quick ? 1 : 5),
  ...(!flags.quick && {
    'memory of a small job': memory(small, 'float32', {}),
    'memory without recompute': memory(long, 'float32', {}),
    'memory with an int4 base': memory(long, 'int4 base, recompute', {
      recompute: true,
      format: 'int4',
    }),
  }),
})
