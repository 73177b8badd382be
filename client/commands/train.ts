import { numberOf, UsageError, type Command } from '../command.ts'
import { formatOpen } from '../format.ts'
import type { JobRequest } from '../openledger.ts'
import type { Estimate, Hyperparameters, Preview } from '../schema.ts'
import { printable } from '../table.ts'
import { findDatanet } from './datanet.ts'
import { follow } from './job.ts'

/** Option name -> hyperparameter of protocol/wire.ts. */
const NUMBERS = {
  epochs: 'epochs',
  rank: 'rank',
  alpha: 'alpha',
  'learning-rate': 'learningRate',
  'batch-size': 'batchSize',
  'sequence-length': 'sequenceLength',
} as const satisfies Record<string, keyof Hyperparameters>

/** Records that a dry run shows. */
const MOST_SHOWN = 5

/** Fine-tunes an adapter and shows the training as it goes. */
export const train: Command = {
  details:
    'Shows the loss as it falls and ends when the adapter is registered on chain. Ctrl-C leaves the job running; openledger job follow shows it again.',
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
    set: {
      value: 'NAME=VALUE',
      describe: 'any hyperparameter of /v1/fine_tuning/limits, such as recompute=true; repeatable',
      multiple: true,
    },
    seed: { value: 'N', describe: 'of the initial weights and the order of records' },
    'dry-run': { describe: 'show what it would take and the first records as training sees them' },
  },
  run: async (context) => {
    const { settings, input, print } = context
    const suffix = input.text('suffix')
    const named = input.texts('datanet')
    if (suffix === undefined || named.length === 0)
      throw new UsageError('train needs --datanet and --suffix')
    const client = await settings.client()
    const datanets = await Promise.all(
      named.map(async (text) => {
        const [, name = text, version] = /^(.+)@([1-9]\d*)$/.exec(text) ?? []
        const { id } = await findDatanet(client, name)
        return { id, version: version === undefined ? await newestVersion(id) : Number(version) }
      }),
    )
    const numbers = Object.entries(NUMBERS).flatMap(([option, name]) => {
      const value = numberOf(input, option)
      return value === undefined ? [] : [[name, value]]
    })
    const seed = numberOf(input, 'seed')
    const request: JobRequest = {
      model: input.text('model') ?? 'openledger-5m',
      datanets,
      suffix,
      hyperparameters: Object.fromEntries([...numbers, ...input.texts('set').map(setting)]),
      ...(seed !== undefined && { seed }),
    }
    if (input.has('dry-run')) {
      const { model, hyperparameters } = request
      const [datanet] = datanets as [(typeof datanets)[number]]
      const shown = {
        model,
        datanet,
        limit: MOST_SHOWN,
        ...(hyperparameters && { hyperparameters }),
      }
      const [estimate, preview] = [await client.estimate(request), await client.preview(shown)]
      print(`${describeEstimate(estimate)}\n\n${describePreview(preview)}`, { estimate, preview })
      return 0
    }
    return follow(context, client, (await client.createJob(request)).id)

    async function newestVersion(datanetId: string): Promise<number> {
      for await (const { version, status } of client.versions(datanetId))
        if (status === 'published') return version
      throw new UsageError(
        `${datanetId} has no published version: openledger datanet publish ${datanetId}`,
      )
    }
  },
}

/** NAME=VALUE as a member of the hyperparameters; the edge says what is wrong with it. */
function setting(text: string): [string, unknown] {
  const [, name, value] = /^(\w+)=(.+)$/.exec(text) ?? []
  if (name === undefined || value === undefined)
    throw new UsageError(`--set needs NAME=VALUE, not "${text}"`)
  try {
    return [name, JSON.parse(value)]
  } catch {
    return [name, value.includes(',') ? value.split(',') : value]
  }
}

const GIB = 2 ** 30
const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`

function describeEstimate(it: Estimate): string {
  const time = it.seconds === null ? 'time unknown' : `about ${it.seconds} s`
  const memory =
    it.memory &&
    `${gib(it.memory.bytes)} of ${gib(it.memory.available_bytes)} memory (${gib(it.memory.with_recompute_bytes)} with recompute)`
  const parts = [
    `${it.training_records} of ${it.records} records`,
    `${it.steps} steps`,
    `${it.tokens} tokens`,
    time,
    memory,
    `${formatOpen(it.registration_fee)} to register`,
  ]
  return parts.filter((part) => part !== null).join(', ')
}

/** Trained words as they are, the rest in brackets; what is cut off is only counted. */
function describePreview({ data, totals, sequence_length }: Preview): string {
  const rows = data.map(({ row, tokens, trained_tokens, spans }) => {
    const words = spans
      .filter(({ cut }) => !cut)
      .map(({ text, trained }) => (trained ? text : `[${text}]`))
      .join('')
    return `${row}: ${trained_tokens} of ${tokens} tokens trained\n   ${printable(words)}`
  })
  const cut = `${totals.truncated} of ${totals.rows} shown records are cut at ${sequence_length} tokens`
  return [...rows, cut].join('\n')
}
