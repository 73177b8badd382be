import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { loadModel } from '#engine/models/files.ts'
import { pretrain, type RunOptions } from './pretrain.ts'
import { OPENLEDGER_5M, type Recipe } from './recipe.ts'
import { FILES } from './sources.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const TINY: Recipe = {
  ...OPENLEDGER_5M,
  config: {
    ...OPENLEDGER_5M.config,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 8,
    vocab_size: 320,
    max_position_embeddings: 64,
  },
  vocabularySize: 320,
  rowTokens: 64,
  rowsPerStep: 4,
  peakLearningRate: 1e-2,
}
const STEPS = 20
const TOKENS = STEPS * TINY.rowsPerStep * TINY.rowTokens

/** A folder with a few synthetic records of each source. */
async function writeTinyCorpus(): Promise<string> {
  const dir = scratchFolder()
  const organs = ['heart', 'liver', 'skin', 'kidney', 'lung', 'eye']
  const medquad = Array.from({ length: 300 }, (_, i) => ({
    id: `${i}`,
    source: 'GHR',
    url: `https://example.org/${i}`,
    focus: `disorder ${i}`,
    question: `What is (are) disorder ${i} ?`,
    answer: `Disorder ${i} is a condition that affects the ${organs[i % 6]} and the ${organs[(i * 7) % 6]}.`,
  }))
  const cuad = Array.from({ length: 40 }, (_, i) => ({
    id: `${i}`,
    task: i % 2 === 0 ? 'CUAD_Audit Rights' : 'CUAD_Warranty Duration',
    label: 'Yes',
    text: `The licensee shall keep records for ${i} years and the licensor may audit them.`,
  }))
  const tatqa = [
    {
      id: 'report',
      split: 'dev',
      table: [
        ['', '2019'],
        ['Revenue', '12'],
      ],
      paragraphs: ['Revenue was 12 in 2019.'],
      questions: [
        {
          question: 'What was revenue?',
          answer: ['12'],
          derivation: '',
          scale: '',
          answer_type: 'span',
        },
      ],
    },
  ]
  for (const [file, rows] of [
    [FILES.ghr, medquad],
    [FILES.gard, []],
    [FILES.cuad, cuad],
    [FILES.tatqa, tatqa],
  ] as const) {
    await mkdir(dirname(join(dir, file)), { recursive: true })
    await writeFile(join(dir, file), gzipSync(rows.map((row) => JSON.stringify(row)).join('\n')))
  }
  return dir
}

async function tinyRun(change: Partial<RunOptions> = {}): Promise<RunOptions> {
  return {
    dataDir: await writeTinyCorpus(),
    outDir: scratchFolder(),
    recipe: TINY,
    budget: { tokens: TOKENS },
    checkpointMs: 60_000,
    evaluationBatches: 1,
    ...change,
  }
}

const weights = (outDir: string) => readFile(join(outDir, 'model/model.safetensors'))

test('twenty steps on a tiny corpus lower the training and the held-out loss and leave a loadable model', async () => {
  const options = await tinyRun()
  const result = await pretrain(options)
  assert.equal(result.finished, true)
  assert.equal(result.step, STEPS)
  const lines = (await readFile(join(options.outDir, 'log.jsonl'), 'utf8')).trim().split('\n')
  const losses = lines.flatMap((line) => (JSON.parse(line).loss as number | undefined) ?? [])
  assert.equal(losses.length, STEPS)
  const untrained = Math.log(TINY.vocabularySize)
  assert.ok(Math.abs(losses[0]! - untrained) < 0.3, `the first loss is ${losses[0]}`)
  assert.ok(losses.at(-1)! < untrained - 1, `the last loss is ${losses.at(-1)}`)
  assert.ok(result.heldOut['medical']! < untrained - 1)
  const { config, parameters } = await loadModel(join(options.outDir, 'model'))
  assert.equal(config.layers, 2)
  assert.ok([...parameters.values()].every(({ data }) => data.every(Number.isFinite)))
})

test('a run killed with SIGKILL and resumed ends with the same bytes as an uninterrupted one', async () => {
  const options = await tinyRun()
  await pretrain(options)
  const outDir = scratchFolder()
  const interrupted = { ...options, outDir, checkpointMs: 0 }
  const program = `import { pretrain } from ${JSON.stringify(import.meta.resolve('./pretrain.ts'))}
    await pretrain(${JSON.stringify(interrupted)})`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: 'inherit',
  })
  const stateFile = join(outDir, 'checkpoint/state.json')
  while (!existsSync(stateFile)) await setTimeout(5)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const { step } = JSON.parse(await readFile(stateFile, 'utf8'))
  assert.ok(step > 0 && step < STEPS, `killed at step ${step}`)
  const result = await pretrain({ ...options, outDir })
  assert.equal(result.step, STEPS)
  assert.deepEqual(await weights(outDir), await weights(options.outDir))
})

test('an aborted run saves where it stands, says it is unfinished, and continues', async () => {
  const options = await tinyRun()
  await pretrain(options)
  const abort = new AbortController()
  const outDir = scratchFolder()
  const aborting = pretrain({ ...options, outDir, signal: abort.signal })
  while (!existsSync(join(outDir, 'log.jsonl'))) await setTimeout(1)
  abort.abort()
  const first = await aborting
  assert.equal(first.finished, false)
  assert.ok(first.step < STEPS)
  assert.equal((await pretrain({ ...options, outDir })).finished, true)
  assert.deepEqual(await weights(outDir), await weights(options.outDir))
})

test('a checkpoint of another recipe is refused', async () => {
  const options = await tinyRun()
  await pretrain(options)
  const recipe = { ...TINY, seed: 2 }
  await assert.rejects(pretrain({ ...options, recipe }), /another recipe or corpus/)
})
