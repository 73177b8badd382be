import { numberOf, UsageError, type Command } from '../command.ts'
import type { Hyperparameters } from '../schema.ts'
import { findDatanet } from './datanet.ts'

/** Option name -> hyperparameter of protocol/wire.ts. */
const NUMBERS = {
  epochs: 'epochs',
  rank: 'rank',
  alpha: 'alpha',
  'learning-rate': 'learningRate',
  'batch-size': 'batchSize',
  'sequence-length': 'sequenceLength',
} as const satisfies Record<string, keyof Hyperparameters>

/** Fine-tunes an adapter and shows the training as it goes. */
export const train: Command = {
  details:
    'Shows the loss as it falls and ends when the adapter is registered on chain. Ctrl-C leaves the job running.',
  options: {
    datanet: {
      value: 'NAME[@VERSION]',
      describe: 'id or name; the newest version when none is given; repeatable',
      multiple: true,
    },
    suffix: { value: 'NAME', describe: 'what the model is called: <base>:<you>/<suffix>' },
    model: { value: 'NAME', describe: 'base model (default openledger-5m)' },
    ...Object.fromEntries(
      Object.keys(NUMBERS).map((name) => [
        name,
        { value: 'N', describe: 'hyperparameter; the default suits small data' },
      ]),
    ),
    seed: { value: 'N', describe: 'of the initial weights and the order of records' },
  },
  run: async ({ settings, input, progress, print, signal }) => {
    const suffix = input.text('suffix')
    const named = input.texts('datanet')
    if (suffix === undefined || named.length === 0)
      throw new UsageError('train needs --datanet and --suffix')
    const client = await settings.client()
    const datanets = await Promise.all(
      named.map(async (text) => {
        const [name = '', version] = text.split('@')
        const { id } = await findDatanet(client, name)
        return { id, version: version === undefined ? await newestVersion(id) : Number(version) }
      }),
    )
    const numbers = Object.entries(NUMBERS).flatMap(([option, name]) => {
      const value = numberOf(input, option)
      return value === undefined ? [] : [[name, value]]
    })
    const seed = numberOf(input, 'seed')
    const { id } = await client.createJob({
      model: input.text('model') ?? 'openledger-5m',
      datanets,
      suffix,
      hyperparameters: Object.fromEntries(numbers) as Hyperparameters,
      ...(seed !== undefined && { seed }),
    })
    const step = progress.step(id)
    let loss = ''
    for await (const { level, message, data } of client.jobEvents(id, signal)) {
      if (level === 'error') progress.print(`! ${message}`)
      if (data?.validationLoss !== undefined)
        loss = `held-out loss ${data.validationLoss.toFixed(3)}`
      if (data?.step !== undefined)
        step.update(
          data.step / (data.totalSteps ?? data.step),
          `step ${data.step}/${data.totalSteps} ${loss}`,
        )
    }
    const job = await client.job(id)
    if (job.status === 'succeeded') step.done(loss)
    else step.fail(job.error?.message ?? job.status)
    print(job.fine_tuned_model ?? `${id} ${job.status}`, job)
    return job.status === 'succeeded' ? 0 : 1

    async function newestVersion(datanetId: string): Promise<number> {
      for await (const { version, status } of client.versions(datanetId))
        if (status === 'published') return version
      throw new UsageError(`${datanetId} has no published version`)
    }
  },
}
