/**
 * Pre-training: AdamW on next-token loss over packed documents, with a warm-up and half a cosine to zero over a budget
 * of wall-clock time or of tokens. A run that was killed continues from its last checkpoint; under a token budget it
 * then computes exactly what the uninterrupted run would have.
 */
import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type LlamaConfig, parseLlamaConfig } from '#engine/models/config.ts'
import { initialParameters } from '#engine/models/parameters.ts'
import { adamwState, adamwStep, learningRate } from '#engine/optimizer.ts'
import { writeSafetensors } from '#engine/safetensors.ts'
import type { TensorMap } from '#engine/tensor.ts'
import { openTrainer } from '#engine/trainer.ts'
import { loadCheckpoint, type RunState, saveCheckpoint, writeAtomically } from './checkpoint.ts'
import { prepareDataset } from './dataset.ts'
import { evaluate, type HeldOutLoss } from './evaluate.ts'
import { progressReporter } from './progress.ts'
import type { Recipe } from './recipe.ts'

export type Budget = { readonly minutes: number } | { readonly tokens: number }

export type RunOptions = {
  readonly dataDir: string
  /** Gets `model/` (Hugging Face layout), `checkpoint/` and `log.jsonl`. */
  readonly outDir: string
  readonly recipe: Recipe
  readonly budget: Budget
  readonly checkpointMs: number
  /** Batches per domain in the evaluations during the run; the last evaluation uses all. */
  readonly evaluationBatches: number
  readonly signal?: AbortSignal
  readonly onProgress?: (line: string) => void
}

export type RunResult = {
  readonly finished: boolean
  readonly step: number
  readonly tokens: number
  readonly heldOut: HeldOutLoss
}

/** The schedule is a function of the share of the budget used; the engine counts steps, so the share is put in steps. */
const SCHEDULE_STEPS = 1000

/** Runs or continues a pre-training run until its budget is used up, or until `signal` aborts. */
export async function pretrain(options: RunOptions): Promise<RunResult> {
  const { outDir, recipe, budget, checkpointMs, signal, onProgress = () => {} } = options
  const modelDir = join(outDir, 'model')
  const checkpointDir = join(outDir, 'checkpoint')
  await mkdir(modelDir, { recursive: true })
  const config = parseLlamaConfig(recipe.config)
  const dataset = await prepareDataset(options.dataDir, modelDir, recipe)
  onProgress(`corpus: ${dataset.tokensPerEpoch} tokens per epoch`)

  const started = Date.now()
  const initial =
    (await loadCheckpoint(checkpointDir, dataset.digest)) ?? freshState(config, recipe)
  const { parameters } = initial
  let optimizer = initial.optimizer
  const elapsedMs = () => initial.elapsedMs + Date.now() - started
  const tokensPerStep = recipe.rowsPerStep * recipe.rowTokens
  const schedule = {
    kind: 'cosine',
    peak: recipe.peakLearningRate,
    warmup: recipe.warmupShare * SCHEDULE_STEPS,
    total: SCHEDULE_STEPS,
    floor: 0,
  } as const
  const usedShare = () =>
    'tokens' in budget
      ? (optimizer.step * tokensPerStep) / budget.tokens
      : elapsedMs() / (budget.minutes * 60_000)
  const log = (entry: object) => appendFile(join(outDir, 'log.jsonl'), `${JSON.stringify(entry)}\n`)
  const save = async () => {
    const state: RunState = { parameters, optimizer, elapsedMs: elapsedMs() }
    await saveCheckpoint(checkpointDir, dataset.digest, state)
    await exportModel(modelDir, recipe, parameters)
  }

  const isStopped = () => signal?.aborted ?? false
  const trainer = await openTrainer(config, 'parameters')
  const report = progressReporter(onProgress)
  let heldOut: HeldOutLoss = {}
  let savedMs = Date.now()
  for (let share = usedShare(); share < 1 && !isStopped(); share = usedShare()) {
    const batch = dataset.trainingBatch(optimizer.step)
    const { loss, gradients } = await trainer.gradients(batch, parameters)
    const rate = learningRate(schedule, share * SCHEDULE_STEPS)
    const update = adamwStep(parameters, gradients, optimizer, rate)
    optimizer = update.state
    const { step } = optimizer
    await log({ step, loss, gradientNorm: update.gradientNorm, rate, elapsedMs: elapsedMs() })
    if (Date.now() - savedMs >= checkpointMs) {
      await save()
      heldOut = await evaluate(config, parameters, dataset.heldOut, options.evaluationBatches)
      await log({ step, heldOut })
      savedMs = Date.now()
    }
    const epoch = dataset.epochOf(step - 1)
    const tokens = step * tokensPerStep
    report({ step, epoch, tokens, loss, heldOut, elapsedMs: elapsedMs(), share: usedShare() })
    await setImmediate() // lets signals through: the engine's calls never yield to the event loop
  }
  await trainer.release()
  await save()
  const finished = !isStopped()
  const batches = finished ? Infinity : options.evaluationBatches
  heldOut = await evaluate(config, parameters, dataset.heldOut, batches)
  const result = { finished, step: optimizer.step, tokens: optimizer.step * tokensPerStep, heldOut }
  await log({ ...result, elapsedMs: elapsedMs() })
  return result
}

function freshState(config: LlamaConfig, recipe: Recipe): RunState {
  const parameters = initialParameters(config, recipe.seed)
  return { parameters, optimizer: adamwState(parameters), elapsedMs: 0 }
}

/** Writes config.json and the weights in bfloat16 beside the tokenizer's files. */
async function exportModel(dir: string, recipe: Recipe, parameters: TensorMap): Promise<void> {
  await writeAtomically(join(dir, 'config.json'), `${JSON.stringify(recipe.config, null, 2)}\n`)
  await writeAtomically(join(dir, 'model.safetensors'), writeSafetensors(parameters, 'BF16'))
}
