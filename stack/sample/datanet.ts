import { until, type Contribution, type Version } from '#client/openledger.ts'
import { textTable } from '#client/table.ts'
import type { Cast } from './cast.ts'
import { expect, JourneyError } from './journey-error.ts'
import type { Plan } from './plan.ts'

export type PublishedVersion = { datanetId: string; number: number; records: number; root: string }

const REGISTER_TIMEOUT_MS = 60_000
const PROCESS_TIMEOUT_MS = 180_000
const PUBLISH_TIMEOUT_MS = 120_000
const TERMINAL: Contribution['status'][] = ['anchored', 'rejected', 'failed']
const AFTER_PROCESSING: Contribution['status'][] = ['needs_anchor', ...TERMINAL]

/** Creates the Datanet, hands every contributor's records in, and publishes what was accepted as version 1. */
export async function buildDatanet(cast: Cast, plan: Plan): Promise<PublishedVersion> {
  const datanetId = await createDatanet(cast, plan)
  await contribute(cast, plan, datanetId)
  return publish(cast, datanetId)
}

async function createDatanet({ consumer, progress }: Cast, { datanet }: Plan): Promise<string> {
  const step = progress.step('Datanet')
  const { id } = await consumer.client.createDatanet(datanet)
  const { status, error } = await until(
    () => consumer.client.datanet(id),
    (it) => it.status !== 'pending',
    { timeoutMs: REGISTER_TIMEOUT_MS },
  )
  expect(status === 'registered', 'Datanet', `its registration on chain failed: ${error}`)
  step.done(`"${datanet.name}" ${id}, registered on chain`)
  return id
}

async function contribute(cast: Cast, plan: Plan, datanetId: string): Promise<void> {
  const { progress, contributors } = cast
  const step = progress.step('Contributions')
  const handedIn: {
    name: string
    contribution: Contribution
    client: Cast['consumer']['client']
  }[] = []
  for (const [i, { name, client }] of contributors.entries())
    for (const file of plan.contributors[i]?.files ?? []) {
      const { id } = await client.contribute(datanetId, { ...file, metadata: plan.metadata })
      handedIn.push({ name, client, contribution: await client.contribution(id) })
    }

  const count = (among: Contribution['status'][]) =>
    handedIn.filter(({ contribution }) => among.includes(contribution.status)).length
  await until(
    async () => {
      for (const item of handedIn)
        if (!TERMINAL.includes(item.contribution.status))
          item.contribution = await item.client.contribution(item.contribution.id)
      const [judged, ended] = [count(AFTER_PROCESSING), count(TERMINAL)]
      step.update(
        (judged + ended) / (2 * handedIn.length),
        `${judged} judged, ${ended} anchored of ${handedIn.length}`,
      )
      return handedIn.map(({ contribution }) => `${contribution.id} ${contribution.status}`)
    },
    () => count(TERMINAL) === handedIn.length,
    { timeoutMs: PROCESS_TIMEOUT_MS },
  )
  for (const { name, contribution } of handedIn)
    if (contribution.status === 'failed')
      throw new JourneyError(
        'Contributions',
        `${name}: ${(contribution.errors ?? []).map(({ detail }) => detail).join('; ') || 'failed'}`,
      )

  const total = (of: (counts: NonNullable<Contribution['counts']>) => number) =>
    handedIn.reduce(
      (n, { contribution }) => n + (contribution.counts ? of(contribution.counts) : 0),
      0,
    )
  const accepted = total((counts) => counts.accepted)
  step.done(`${total((counts) => counts.rows)} records in, ${accepted} accepted and anchored`)
  progress.print(verdictTable(handedIn))
  expect(accepted > 0, 'Contributions', 'no record was accepted')
}

/** Counts per contributor, with the reasons behind what was not accepted as it is. */
function verdictTable(rows: { name: string; contribution: Contribution }[]): string {
  const DUPLICATES = ['DUPLICATE_EXACT', 'DUPLICATE_NEAR']
  return textTable([
    ['contributor', 'records', 'accepted', 'duplicate', 'review', 'rejected', 'reasons'],
    ...rows.map(({ name, contribution: { counts } }) => {
      const reasons = Object.entries(counts?.reasons ?? {}).toSorted(([, a], [, b]) => b - a)
      const duplicates = reasons
        .filter(([reason]) => DUPLICATES.includes(reason))
        .reduce((n, [, records]) => n + records, 0)
      return [
        name,
        ...[
          counts?.rows ?? 0,
          counts?.accepted ?? 0,
          duplicates,
          counts?.needs_review ?? 0,
          (counts?.rejected ?? 0) - duplicates,
        ].map(String),
        reasons
          .slice(0, 4)
          .map(([reason, records]) => `${reason.toLowerCase()} ${records}`)
          .join(', '),
      ]
    }),
  ])
}

async function publish({ consumer, progress }: Cast, datanetId: string): Promise<PublishedVersion> {
  const step = progress.step('Version')
  const { version: number } = await consumer.client.publishVersion(datanetId)
  const version: Version = await until(
    () => consumer.client.version(datanetId, number),
    ({ status }) => status === 'published' || status === 'failed',
    { timeoutMs: PUBLISH_TIMEOUT_MS },
  )
  expect(version.status === 'published', 'Version', `it was not published: ${version.error}`)
  const { root, records } = version
  expect(!!root && !!records, 'Version', 'it was published without a root or records')
  step.done(`version ${number}: ${records} records, root ${root.slice(0, 18)}… on chain`)
  return { datanetId, number, records, root }
}
