/** The training phase of a job: the loop with its metrics, its checkpoints and its end. */
import { setImmediate } from 'node:timers/promises'
import type { JobManifest } from '#protocol/wire.ts'
import { encodeCheckpoint } from './checkpoint.ts'
import type { Example } from './examples.ts'
import type { JobContext, JobEvent } from './job-context.ts'
import { trainLora, type StepReport, type TrainingState } from './lora-training.ts'

const METRICS_EVERY_MS = 1_000

/** Trains from `state` to the end, reports metrics, uploads checkpoints; throws when the signal aborts. */
export async function runTraining(
  job: JobManifest,
  { train: examples, measured }: { train: readonly Example[]; measured: readonly Example[] },
  state: TrainingState,
  context: JobContext,
): Promise<void> {
  const { base, session, report, signal } = context
  const setup = {
    ...base,
    method: job.method,
    train: examples,
    validation: measured,
    session,
  }
  report.progress('training', 0)
  const start = { at: performance.now(), step: state.step, tokens: state.tokens }
  const saver = checkpointSaver(job, context)
  let reportedAt = Number.NEGATIVE_INFINITY
  for await (const step of trainLora(setup, state)) {
    const now = performance.now()
    if (step.step === start.step + 1 && start.step === 0)
      report.event({
        message: `held-out loss before training: ${state.initialValidationLoss?.toFixed(4)}`,
        metrics: {
          step: 0,
          totalSteps: step.totalSteps,
          validationLoss: state.initialValidationLoss ?? undefined,
        },
      })
    const isNews = step.validationLoss !== undefined || step.step === step.totalSteps
    if (isNews || now - reportedAt >= METRICS_EVERY_MS) {
      reportedAt = now
      report.event(stepEvent(step, state, start))
      report.progress('training', step.step / step.totalSteps)
    }
    await saver.afterStep(state)
    await setImmediate() // lets a cancellation in
    signal.throwIfAborted()
  }
  await saver.finish(state)
  report.event({
    message: `trained ${state.step} steps; held-out loss ${state.initialValidationLoss?.toFixed(4)} -> ${state.best?.validationLoss.toFixed(4)} (step ${state.best?.step})`,
  })
}

function stepEvent(
  step: StepReport,
  state: TrainingState,
  start: { at: number; step: number; tokens: number },
): Omit<JobEvent, 'at' | 'level'> {
  const seconds = (performance.now() - start.at) / 1000
  const { totalSteps, loss, validationLoss } = step
  const held = validationLoss === undefined ? '' : `, held-out loss ${validationLoss.toFixed(4)}`
  return {
    message: `step ${step.step}/${totalSteps}: loss ${loss.toFixed(4)}${held}`,
    metrics: {
      step: step.step,
      totalSteps,
      loss,
      validationLoss,
      learningRate: step.learningRate,
      tokensPerSecond: (state.tokens - start.tokens) / seconds,
      etaSeconds: ((totalSteps - step.step) * seconds) / (step.step - start.step),
    },
  }
}

/** Uploads a checkpoint every so often while training goes on; a failed upload only delays the next one. */
function checkpointSaver(
  job: JobManifest,
  { blobs, report, signal, checkpointEveryMs }: JobContext,
) {
  let savedAt = performance.now()
  let pending: Promise<void> | null = null
  const save = (state: TrainingState) => {
    savedAt = performance.now()
    // The bytes are a copy: training may go on changing the state meanwhile.
    pending = blobs
      .put(encodeCheckpoint(job, state), signal)
      .then(report.checkpoint)
      .catch((error: unknown) => {
        if (!signal.aborted)
          report.event({ level: 'warn', message: `checkpoint not stored: ${String(error)}` })
      })
      .finally(() => (pending = null))
  }
  return {
    afterStep: async (state: TrainingState) => {
      if (!pending && performance.now() - savedAt >= checkpointEveryMs) save(state)
    },
    finish: async (state: TrainingState) => {
      await pending
      save(state)
      await pending
    },
  }
}
