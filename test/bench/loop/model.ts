import { buildDatanet } from '#stack/sample/datanet.ts'
import { BASE_MODEL } from '#stack/sample/fine-tune.ts'
import type { Cast } from '#stack/sample/cast.ts'
import type { Plan } from '#stack/sample/plan.ts'
import { figure, quantile, type Figure } from '../report.ts'

const MAX_TOKENS = 96

/** Training, generation and attribution on the running stack; returns the Datanet that it made too. */
export async function benchModel(
  cast: Cast,
  plan: Plan,
  { quick }: { quick: boolean },
): Promise<{ figures: Figure[]; datanetId: string }> {
  const { client } = cast.consumer
  const version = await buildDatanet(cast, plan)
  const job = await client.createJob({
    model: BASE_MODEL,
    datanets: [{ id: version.datanetId, version: version.number }],
    suffix: plan.adapterSlug,
    hyperparameters: plan.hyperparameters,
  })
  const trained: number[] = []
  for await (const { data } of client.jobEvents(job.id))
    if (data?.tokensPerSecond !== undefined) trained.push(data.tokensPerSecond)
  const { status, error, fine_tuned_model: model } = await client.job(job.id)
  if (status !== 'succeeded' || model === null)
    throw new Error(`the job ${status}: ${error?.message}`)

  const generated: number[] = []
  const attributed: number[] = []
  for (let round = 0; round < (quick ? 2 : 5); round++)
    for (const question of plan.questions) {
      const stream = client.chatStream({
        model,
        messages: [{ role: 'user', content: question }],
        max_tokens: MAX_TOKENS,
        temperature: 1,
        seed: round,
        attribution: 'full',
      })
      let first = 0
      let last = 0
      for (;;) {
        const next = await stream.next()
        if (next.done) {
          const answer = next.value
          if (answer.completionTokens > 8)
            generated.push((answer.completionTokens - 1) / ((last - first) / 1000))
          if (answer.attribution?.attributionMs !== undefined)
            attributed.push(answer.attribution.attributionMs)
          break
        }
        last = performance.now()
        first ||= last
      }
    }
  return {
    datanetId: version.datanetId,

    figures: [
      figure(
        { name: 'LoRA training', unit: 'tokens/s', better: 'higher' },
        trained.at(-1) ?? Number.NaN,
      ),
      figure(
        { name: 'generation, one stream', unit: 'tokens/s', better: 'higher' },
        quantile(generated, 0.5),
      ),
      figure(
        {
          name: `attribution per answer (${version.records} records)`,
          unit: 'ms',
          better: 'lower',
        },
        quantile(attributed, 0.5),
      ),
    ],
  }
}
