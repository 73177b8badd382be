import type { Client } from './openledger.ts'
import type { Step } from './progress.ts'
import type { Job } from './schema.ts'

const POLL_MS = 1_000

export type Followed = {
  job: Job
  /** On held-out records, nats a token, as they came. */
  validationLosses: number[]
  /** Of the last step. */
  tokensPerSecond: number | null
}

/**
 * Shows a fine-tuning job on `step` until it ends: its losses while it trains, then what else it does. The caller ends
 * the step. `tell` gets the errors that the job survives.
 */
export async function followJob(
  client: Client,
  id: string,
  { step, tell, signal }: { step: Step; tell: (line: string) => void; signal?: AbortSignal },
): Promise<Followed> {
  const validationLosses: number[] = []
  let tokensPerSecond: number | null = null
  let note = ''
  // Phases and what is done of them are in the job; its events do not all say.
  let isOver = false
  const timer = setInterval(async () => {
    const job = await client.job(id).catch(() => null) // the API is away for now
    if (!job || isOver) return // the step is the caller's again
    const { phase, progress } = job.openledger
    const isRunning = job.status === 'running'
    step.update(
      progress ?? 0,
      isRunning ? (phase === 'training' && note) || phase || '' : job.status,
    )
  }, POLL_MS)
  try {
    for await (const { level, message, data } of client.jobEvents(id, signal)) {
      if (level === 'error') tell(message)
      if (data?.validationLoss !== undefined) validationLosses.push(data.validationLoss)
      if (data?.tokensPerSecond !== undefined) tokensPerSecond = data.tokensPerSecond
      if (data?.step === undefined) continue
      const parts = [
        `step ${data.step}/${data.totalSteps}`,
        data.loss !== undefined && `loss ${data.loss.toFixed(3)}`,
        validationLosses.length > 0 && heldOut(validationLosses),
      ]
      note = parts.filter(Boolean).join(', ')
      step.update(data.step / (data.totalSteps ?? data.step), note)
    }
  } finally {
    isOver = true
    clearInterval(timer)
  }
  return { job: await client.job(id), validationLosses, tokensPerSecond }
}

/** First and latest loss on the held-out records. */
export const heldOut = (losses: number[]): string =>
  `held-out loss ${[...new Set([losses[0], losses.at(-1)])].map((loss) => loss?.toFixed(3)).join(' → ')}`
