import { readFileSync } from 'node:fs'
import type { Flags } from '../flags.ts'
import type { Progress } from '#client/progress.ts'
import type { Stack } from '../stack.ts'
import { askModels } from './ask.ts'
import { createCast } from './cast.ts'
import { buildDatanet } from './datanet.ts'
import { fineTune } from './fine-tune.ts'
import { planFor, samplePlan } from './plan.ts'
import { loadSampleState, saveSampleState } from './sample-state.ts'
import { settle } from './settle.ts'

export { JourneyError } from './journey-error.ts'

/**
 * The whole loop: contributors hand in records, they become a Datanet version, an adapter is trained on it, a consumer
 * asks it, the fee is attributed, settled, verified and claimed. Throws JourneyError at the first step that does not
 * keep its promise.
 */
export async function runJourney(
  stack: Stack,
  progress: Progress,
  { data, datanet }: Pick<Flags, 'data' | 'datanet'>,
): Promise<void> {
  const state = loadSampleState(stack.dirs)
  state.runs += 1
  const plan =
    data === undefined
      ? samplePlan(state.runs)
      : planFor({ path: data, bytes: readFileSync(data), name: datanet ?? data, run: state.runs })
  const cast = await createCast(stack, progress, plan, state)
  saveSampleState(stack.dirs, state)

  const version = await buildDatanet(cast, plan)
  const model = await fineTune(cast, plan, version)
  const { answers, question } = await askModels(cast, plan, { version, model })
  await settle(cast, answers)

  state.outcome = { apiKey: cast.consumer.apiKey, model: model.name, question }
  saveSampleState(stack.dirs, state)
}
