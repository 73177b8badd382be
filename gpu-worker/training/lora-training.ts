/**
 * The training loop of a LoRA adapter: AdamW, linear warm-up and a schedule, validation by held-out clusters, keep-best
 * and early stopping. Everything the next step depends on is in `TrainingState`: a loop that goes on from a stored
 * state takes exactly the steps that an uninterrupted one takes.
 */
import type { Batch } from '#engine/batch.ts'
import type { LlamaConfig } from '#engine/models/config.ts'
import { initialAdapter, loraConfig, type LoraConfig } from '#engine/models/lora.ts'
import {
  ADAMW_DEFAULTS,
  adamwState,
  adamwStep,
  learningRate,
  type AdamWState,
} from '#engine/optimizer.ts'
import { LINEAR_LAYERS } from '#engine/models/parameters.ts'
import { placeOf } from '#engine/programs/base.ts'
import { evaluateProgram } from '#engine/programs/train.ts'
import { inFormat, type FormattedModel, type WeightFormat } from '#engine/quant.ts'
import { openSession, type Session, type SessionOptions } from '#engine/session.ts'
import { requireTensor, type HostTensor, type TensorMap } from '#engine/tensor.ts'
import { openTrainer } from '#engine/trainer.ts'
import type { LoraMethod } from '#protocol/wire.ts'
import { planBatches, toBatch } from './batches.ts'
import type { Example } from './examples.ts'
import { accumulateGradients } from './gradient-step.ts'

export type TrainingState = {
  /** Steps done. */
  step: number
  /** Tokens seen, padding excluded. */
  tokens: number
  adapter: Map<string, HostTensor>
  moments: AdamWState
  initialValidationLoss: number | null
  best: { step: number; validationLoss: number; adapter: Map<string, HostTensor> } | null
  /** The adapter at SNAPSHOTS of the planned steps, as far as they are done: where attribution takes gradients. */
  snapshots: Map<string, HostTensor>[]
  /** Validations since the best one. */
  stale: number
}

export type StepReport = {
  step: number
  totalSteps: number
  /** Mean cross-entropy per target token, in nats. */
  loss: number
  learningRate: number
  /** Present after steps that were followed by a validation. */
  validationLoss?: number
}

/** The frozen base, in float32 or the method's format, and what to train on it. */
export type TrainingSetup = FormattedModel & {
  method: LoraMethod
  train: readonly Example[]
  validation: readonly Example[]
  session: SessionOptions
}

/**
 * Shares of a training at which the adapter is kept for attribution. Early on, a record's gradient still says what the record
 * teaches; at the end, what was learnt has none left. Measured against retraining in docs/attribution.md.
 */
const SNAPSHOTS = [0.25] as const
/** Validations per run, spread evenly; the first is before any step. */
const VALIDATIONS = 8
/** The learning rate at the end, as a share of the peak. */
const FINAL_RATE = 0.1

/** The engine's name for a job's `quantization`. */
export const formatOf = ({ quantization }: Pick<LoraMethod, 'quantization'>): WeightFormat =>
  quantization === 'none' ? 'f32' : quantization

/** The adapter's shape. */
export const loraOf = ({
  rank,
  alpha,
  targetModules,
  rslora,
  dropout,
}: LoraMethod): LoraConfig => ({
  ...loraConfig(
    rank,
    alpha,
    LINEAR_LAYERS.filter((layer) => targetModules.some((it) => layer.endsWith(it))),
  ),
  ...(rslora && { rslora }),
  ...(dropout > 0 && { dropout }),
})

/** The state before the first step. */
export function initialState(config: LlamaConfig, method: LoraMethod): TrainingState {
  const adapter = initialAdapter(config, loraOf(method), method.seed)
  return {
    step: 0,
    tokens: 0,
    adapter,
    moments: adamwState(adapter),
    initialValidationLoss: null,
    best: null,
    snapshots: [],
    stale: 0,
  }
}

/**
 * Trains from `state`, which it updates in place, and reports every step after it. At each report the state is
 * consistent and may be stored; leaving the loop ends the training. Throws when the loss is no longer finite.
 */
export async function* trainLora(
  setup: TrainingSetup,
  state: TrainingState,
): AsyncGenerator<StepReport, void, void> {
  const { config, method, train, validation, session } = setup
  const { gradientAccumulation, patience, schedule: kind } = method
  const lora = loraOf(method)
  const plan = planBatches(train, method)
  const every = Math.max(1, Math.round(plan.totalSteps / VALIDATIONS))
  const schedule = {
    kind,
    peak: method.learningRate,
    warmup: Math.round(plan.totalSteps * method.warmupRatio),
    total: plan.totalSteps,
    floor: FINAL_RATE,
  }
  const optimizer = {
    ...ADAMW_DEFAULTS,
    weightDecay: method.weightDecay,
    maxGradientNorm: method.clipNorm,
  }
  const format = formatOf(method)
  const frozen = inFormat(setup, format)
  const base = { format, place: placeOf(session) } // both sessions read one copy where they can
  const options = { ...session, ...base, recompute: method.recompute }
  const trainer = await openTrainer(config, lora, frozen, options)
  const evaluator = await openSession(evaluateProgram(config, lora, base), frozen, session)
  const held = validationBatches(validation, method.batchSize)
  try {
    if (validation.length > 0 && state.initialValidationLoss === null)
      state.initialValidationLoss = await validate(evaluator, state.adapter, held)
    while (state.step < plan.totalSteps && state.stale < patience) {
      const batches = plan.batchesOf(state.step)
      const draw = { seed: method.seed, step: state.step * gradientAccumulation }
      const { loss, gradients } = await accumulateGradients(trainer, state.adapter, batches, draw)
      if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss} at step ${state.step + 1}`)
      const rate = learningRate(schedule, state.step)
      state.moments = adamwStep(state.adapter, gradients, state.moments, rate, optimizer).state
      state.step++
      keepSnapshot(state, plan.totalSteps)
      state.tokens += batches.flat().reduce((n, { tokens }) => n + tokens.length, 0)
      const report: StepReport = {
        step: state.step,
        totalSteps: plan.totalSteps,
        loss,
        learningRate: rate,
      }
      const isDue = state.step % every === 0 || state.step === plan.totalSteps
      if (validation.length > 0 && isDue) {
        report.validationLoss = await validate(evaluator, state.adapter, held)
        keepBest(state, report.validationLoss)
      }
      yield report
    }
  } finally {
    await Promise.all([trainer.release(), evaluator.release()])
  }
}

/** Where attribution takes gradients: at the published adapter itself only when training ended before the first snapshot. */
export const snapshotsOf = (state: TrainingState): TensorMap[] =>
  state.snapshots.length > 0 ? state.snapshots : [bestAdapter(state)]

function keepSnapshot(state: TrainingState, totalSteps: number): void {
  const isDue = SNAPSHOTS.some(
    (share) => Math.max(1, Math.round(share * totalSteps)) === state.step,
  )
  if (isDue) state.snapshots.push(copyTensors(state.adapter))
}

/** The adapter to publish: the one of the best validation, or the last where nothing was held out. */
export const bestAdapter = ({ best, adapter }: TrainingState): TensorMap => best?.adapter ?? adapter

function keepBest(state: TrainingState, validationLoss: number): void {
  if (state.best && validationLoss >= state.best.validationLoss) {
    state.stale++
    return
  }
  state.stale = 0
  state.best = { step: state.step, validationLoss, adapter: copyTensors(state.adapter) }
}

/** Batches of like length, no larger than those of training: validation must not be what takes the most memory. */
function validationBatches(examples: readonly Example[], batchSize: number): Batch[] {
  const byLength = examples.toSorted((a, b) => b.tokens.length - a.tokens.length)
  const starts = Array.from({ length: Math.ceil(examples.length / batchSize) }, (_, i) => i)
  return starts.map((i) => toBatch(byLength.slice(i * batchSize, (i + 1) * batchSize)))
}

/** Mean cross-entropy per target token over all batches. */
async function validate(
  evaluator: Session,
  adapter: TensorMap,
  batches: readonly Batch[],
): Promise<number> {
  let sum = 0
  let targets = 0
  for (const batch of batches) {
    const outputs = await evaluator.run({ ...batch.feeds, ...Object.fromEntries(adapter) })
    sum += requireTensor(outputs, 'nll').data.reduce((a, b) => a + b, 0)
    targets += batch.targetCount
  }
  return sum / targets
}

const copyTensors = (tensors: TensorMap): Map<string, HostTensor> =>
  new Map([...tensors].map(([name, { dims, data }]) => [name, { dims, data: data.slice() }]))
