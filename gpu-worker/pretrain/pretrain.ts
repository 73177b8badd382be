/**
 * Pre-training: AdamW on next-token loss over packed documents, with a warm-up and half a cosine to zero over a budget
 * of wall-clock time or of tokens. A run that was killed continues from its last checkpoint; under a token budget it
 * then computes exactly what the uninterrupted run would have.
 */
import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Batch } from '#engine/batch.ts'
import { type LlamaConfig, parseLlamaConfig } from '#engine/models/config.ts'
import { initialParameters } from '#engine/models/parameters.ts'
import { adamwState, adamwStep, learningRate } from '#engine/optimizer.ts'
import { evaluateProgram } from '#engine/programs/train.ts'
import { writeSafetensors } from '#engine/safetensors.ts'
import { openSession } from '#engine/session.ts'
import { requireTensor, type TensorMap } from '#engine/tensor.ts'
import { openTrainer } from '#engine/trainer.ts'
import { loadCheckpoint, type RunState, saveCheckpoint, writeAtomically } from './checkpoint.ts'
import { type Dataset, prepareDataset } from './dataset.ts'
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

export type HeldOutLoss = Readonly<Record<string, number>>

export type RunResult = {
  readonly finished: boolean
  readonly step: number
  readonly tokens: number
  readonly heldOut: HeldOutLoss
}

/** The schedule is a function of the share of the budget used; the engine counts steps, so the share is put in steps. */
const SCHEDULE_STEPS = 1000

const REPORT_MS = 10_000

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
  const progress = () =>
    'tokens' in budget
      ? (optimizer.step * tokensPerStep) / budget.tokens
      : elapsedMs() / (budget.minutes * 60_000)
  const log = (entry: object) => appendFile(join(outDir, 'log.jsonl'), `${JSON.stringify(entry)}\n`)
  const save = async () => {
    const state: RunState = { parameters, optimizer, elapsedMs: elapsedMs() }
    await saveCheckpoint(checkpointDir, dataset.digest, state)
    await exportModel(modelDir, recipe, parameters)
  }

  const trainer = await openTrainer(config, 'parameters')
  const interval = { step: optimizer.step, startedMs: Date.now(), loss: 0 }
  let heldOut: HeldOutLoss = {}
  let savedMs = Date.now()
  const isStopped = () => signal?.aborted ?? false
  for (let share = progress(); share < 1 && !isStopped(); share = progress()) {
    const { loss, gradients } = await trainer.gradients(
      dataset.trainingBatch(optimizer.step),
      parameters,
    )
    const rate = learningRate(schedule, share * SCHEDULE_STEPS)
    const update = adamwStep(parameters, gradients, optimizer, rate)
    optimizer = update.state
    const { step } = optimizer
    interval.loss += loss
    await log({ step, loss, gradientNorm: update.gradientNorm, rate, elapsedMs: elapsedMs() })
    await setImmediate() // lets signals through: the engine's calls never yield to the event loop

    const now = Date.now()
    if (now - savedMs >= checkpointMs) {
      await save()
      heldOut = await evaluate(config, parameters, dataset, options.evaluationBatches)
      await log({ step, heldOut })
      savedMs = Date.now()
    }
    if (now - interval.startedMs >= REPORT_MS) {
      const steps = step - interval.step
      const rateTokens = (steps * tokensPerStep * 1000) / (Date.now() - interval.startedMs)
      const usedMs = elapsedMs()
      const lossMean = interval.loss / steps
      onProgress(
        progressLine({
          step,
          epoch: dataset.epochOf(step),
          tokens: step * tokensPerStep,
          loss: lossMean,
          heldOut,
          tokensPerSecond: rateTokens,
          etaMs: usedMs / Math.min(1, progress()) - usedMs,
        }),
      )
      Object.assign(interval, { step, startedMs: Date.now(), loss: 0 })
    }
  }
  await trainer.release()
  await save()
  const finished = !isStopped()
  heldOut = await evaluate(
    config,
    parameters,
    dataset,
    finished ? Infinity : options.evaluationBatches,
  )
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

/** Mean next-token loss in nats per domain, over at most `maxBatches` held-out batches of each. */
export async function evaluate(
  config: LlamaConfig,
  parameters: TensorMap,
  dataset: Pick<Dataset, 'heldOut'>,
  maxBatches: number,
): Promise<HeldOutLoss> {
  const session = await openSession(evaluateProgram(config), parameters)
  const domainLoss = async (batches: readonly Batch[]): Promise<number> => {
    let sum = 0
    let count = 0
    for (const { feeds, targetCount } of batches) {
      const nll = requireTensor(await session.run(feeds), 'nll').data
      for (const value of nll) sum += value
      count += targetCount
    }
    return sum / count
  }
  const losses: Record<string, number> = {}
  for (const [domain, batches] of dataset.heldOut) {
    if (batches.length > 0) losses[domain] = await domainLoss(batches.slice(0, maxBatches))
  }
  await session.release()
  return losses
}

type Progress = {
  step: number
  epoch: number
  tokens: number
  loss: number
  heldOut: HeldOutLoss
  tokensPerSecond: number
  etaMs: number
}

function progressLine(p: Progress): string {
  const heldOut = Object.entries(p.heldOut).map(([domain, loss]) => `${domain} ${loss.toFixed(3)}`)
  return [
    `step ${p.step}`,
    `epoch ${p.epoch}`,
    `${(p.tokens / 1e6).toFixed(2)} M tokens`,
    `loss ${p.loss.toFixed(3)}`,
    `held out: ${heldOut.join(', ') || 'not yet'}`,
    `${Math.round(p.tokensPerSecond)} tokens/s`,
    `${Math.ceil(p.etaMs / 60_000)} min left`,
  ].join(' | ')
}
