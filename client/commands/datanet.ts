import { UsageError, type Command } from '../command.ts'
import { until, type Client, type Datanet } from '../openledger.ts'
import { printable, textTable } from '../table.ts'

const REGISTER_TIMEOUT_MS = 120_000
const PUBLISH_TIMEOUT_MS = 300_000

/** The Datanets there are. */
export const listDatanets: Command = {
  details: '',
  options: {},
  run: async ({ settings, print }) => {
    const datanets: Datanet[] = []
    for await (const datanet of settings.guest.datanets()) datanets.push(datanet)
    const rows = datanets.map(({ id, name, licence, owner, status }) => [
      id,
      printable(name),
      licence,
      owner,
      status,
    ])
    print(
      rows.length === 0
        ? 'there is no Datanet yet: openledger datanet create NAME --licence SPDX'
        : textTable([['id', 'name', 'licence', 'owner', 'on chain'], ...rows]),
      datanets,
    )
    return 0
  },
}

/** Creates a Datanet and waits until the chain knows it. */
export const createDatanet: Command = {
  details: 'Anybody may contribute to it; only you publish its versions.',
  options: {
    licence: { value: 'SPDX', describe: 'what its records may be used for, such as CC-BY-4.0' },
    description: { value: 'TEXT', describe: 'what it collects' },
    domain: { value: 'TEXT', describe: 'its field, such as legal (default: general)' },
    slug: { value: 'TEXT', describe: 'short name (default: made of NAME)' },
  },
  run: async ({ settings, input, print, progress }) => {
    const name = input.positionals.join(' ')
    const licence = input.text('licence')
    const slug = input.text('slug')
    if (name === '' || licence === undefined)
      throw new UsageError('datanet create needs a NAME and --licence SPDX')
    const client = await settings.client()
    const { id } = await client.createDatanet({
      name,
      licence,
      description: input.text('description') ?? '',
      domain: input.text('domain') ?? 'general',
      ...(slug !== undefined && { slug }),
    })
    const step = progress.step('Registering on chain')
    const datanet = await until(
      () => client.datanet(id),
      ({ status }) => status !== 'pending',
      { timeoutMs: REGISTER_TIMEOUT_MS },
    )
    if (datanet.status === 'registered') step.done()
    else step.fail(datanet.error ?? datanet.status)
    print(id, datanet)
    return datanet.status === 'registered' ? 0 : 1
  },
}

/** Publishes what a Datanet has as its next version. */
export const publishDatanet: Command = {
  details: `A version never changes: it holds every record that is anchored now and not taken back, and is what models are trained
on. Only the Datanet's owner may publish.`,
  options: {},
  run: async ({ settings, input, print, progress }) => {
    const name = input.positionals.join(' ')
    if (name === '') throw new UsageError('datanet publish needs a NAME')
    const client = await settings.client()
    const { id } = await findDatanet(client, name)
    const { version: number } = await client.publishVersion(id)
    const step = progress.step(`Publishing ${id}@${number}`)
    const version = await until(
      () => client.version(id, number),
      ({ status }) => status === 'published' || status === 'failed',
      { timeoutMs: PUBLISH_TIMEOUT_MS },
    )
    if (version.status === 'published') step.done(`${version.records} records`)
    else step.fail(version.error ?? version.status)
    print(`${id}@${number}`, version)
    return version.status === 'published' ? 0 : 1
  },
}

/** A Datanet by id, slug or name; throws a UsageError when there is none or several. */
export async function findDatanet(client: Client, name: string): Promise<Datanet> {
  if (/^dn_[0-9a-z]+$/i.test(name)) return client.datanet(name)
  const found: Datanet[] = []
  for await (const datanet of client.datanets())
    if (datanet.slug === name || datanet.name === name) found.push(datanet)
  const [only, another] = found
  if (!only) throw new UsageError(`there is no Datanet "${name}"; openledger datanet lists them`)
  if (another)
    throw new UsageError(
      `several Datanets are called "${name}": ${found.map(({ id }) => id).join(', ')}`,
    )
  return only
}
