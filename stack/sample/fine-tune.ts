import { modelRegistryAbi } from '#contracts/model-registry.ts'
import type { Hex } from '#protocol/bytes.ts'
import { parseModelName } from '#protocol/model.ts'
import type { Cast, Person } from './cast.ts'
import type { PublishedVersion } from './datanet.ts'
import { expect, JourneyError } from './journey-error.ts'
import type { Plan } from './plan.ts'

export const BASE_MODEL = 'openledger-5m'

export type TunedModel = { name: string; base: string; digest: Hex }

/** Trains an adapter on the version and has it registered; the loss on held-out records must fall. */
export async function fineTune(
  { consumer, progress, chain, stack }: Cast,
  plan: Plan,
  version: PublishedVersion,
): Promise<TunedModel> {
  const step = progress.step('Fine-tuning')
  const { id } = await consumer.client.createJob({
    model: BASE_MODEL,
    datanets: [{ id: version.datanetId, version: version.number }],
    suffix: plan.adapterSlug,
    hyperparameters: plan.hyperparameters,
  })
  const losses: number[] = []
  let tokensPerSecond = 0
  let note = ''
  const watching = watchPhase(consumer, id, (phase, done) => step.update(done, note || phase))
  try {
    for await (const { level, message, data } of consumer.client.jobEvents(id)) {
      if (level === 'error') progress.print(`! ${message}`)
      if (data?.validationLoss !== undefined) losses.push(data.validationLoss)
      if (data?.tokensPerSecond !== undefined) tokensPerSecond = data.tokensPerSecond
      if (data?.step === undefined) {
        note = message
        continue
      }
      note = [
        `step ${data.step}/${data.totalSteps}`,
        data.loss !== undefined && `loss ${data.loss.toFixed(3)}`,
        losses.length > 0 && `held out ${heldOut(losses)}`,
      ]
        .filter(Boolean)
        .join(', ')
      step.update(data.step / (data.totalSteps ?? data.step), note)
    }
  } finally {
    watching.stop()
  }
  const job = await consumer.client.job(id)
  if (job.status !== 'succeeded' || job.fine_tuned_model === null)
    throw new JourneyError('Fine-tuning', `the job ${job.status}: ${job.error?.message ?? ''}`)
  const [first, last] = [losses[0], losses.at(-1)]
  expect(
    first !== undefined && last !== undefined && last < first,
    'Fine-tuning',
    `the loss on held-out records went from ${first} to ${last}`,
  )
  step.done(`held-out loss ${heldOut(losses)}, ${Math.round(tokensPerSecond)} tokens/s`)

  const registered = progress.step('Model registry')
  const { openledger: model } = await consumer.client.model(job.fine_tuned_model)
  const onChain = await chain.readContract({
    address: stack.contracts.modelRegistry,
    abi: modelRegistryAbi,
    functionName: 'adapterOf',
    args: [model.digest],
  })
  expect(
    onChain.datanetRoots.includes(version.root as Hex),
    'Model registry',
    `the adapter on chain does not name the Datanet version ${version.root}`,
  )
  registered.done(
    `${job.fine_tuned_model}, digest ${model.digest.slice(0, 18)}…, index root ${onChain.indexRoot.slice(0, 18)}…`,
  )
  const base = parseModelName(job.fine_tuned_model)?.base
  expect(base !== undefined, 'Model registry', `${job.fine_tuned_model} is no model name`)
  return { name: job.fine_tuned_model, base, digest: model.digest }
}

/** First and latest loss on the held-out records. */
const heldOut = (losses: number[]): string =>
  [...new Set([losses[0], losses.at(-1)])].map((loss) => loss?.toFixed(3)).join(' → ')

const POLL_MS = 1_000

/** Tells every second what a job is doing, which its events do not all say. */
function watchPhase(
  { client }: Person,
  id: string,
  tell: (phase: string, done: number) => void,
): { stop: () => void } {
  const timer = setInterval(async () => {
    const job = await client.job(id).catch(() => null) // the edge is down for now
    if (job?.openledger.phase) tell(job.openledger.phase, job.openledger.progress ?? 0)
  }, POLL_MS)
  return { stop: () => clearInterval(timer) }
}
