import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { followJob, heldOut } from '#client/follow-job.ts'
import type { Hex } from '#protocol/bytes.ts'
import { parseModelName } from '#protocol/model.ts'
import type { Cast } from './cast.ts'
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
  const tell = (line: string) => progress.print(`! ${line}`)
  const { job, validationLosses, tokensPerSecond } = await followJob(consumer.client, id, {
    step,
    tell,
  })
  if (job.status !== 'succeeded' || job.fine_tuned_model === null)
    throw new JourneyError('Fine-tuning', `the job ${job.status}: ${job.error?.message ?? ''}`)
  const [first, last] = [validationLosses[0], validationLosses.at(-1)]
  expect(
    first !== undefined && last !== undefined && last < first,
    'Fine-tuning',
    `the loss on held-out records went from ${first} to ${last}`,
  )
  step.done(`${heldOut(validationLosses)}, ${Math.round(tokensPerSecond ?? 0)} tokens/s`)

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
