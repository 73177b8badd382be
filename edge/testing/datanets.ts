import { eventually, type Edge } from './harness.ts'
import type { SignedIn } from './wallet.ts'

export const METADATA = {
  source: 'https://spdx.org/licenses/',
  intended_use: 'tests',
  licence: 'CC0-1.0',
  context: 'written for a test',
}

export type ContributionView = {
  id: string
  status: string
  sha256: string
  counts: Record<string, number> & { reasons: Record<string, number> }
  errors: { row?: number; detail: string }[] | null
  pipeline_hash: string
  batch: { id: string; root: string; records: number; tx: string | null } | null
}

/** Creates a Datanet and answers its id. */
export async function createDatanet(
  edge: Edge,
  owner: SignedIn,
  overrides: Record<string, unknown> = {},
): Promise<string> {
  const response = await edge.fetch('/v1/datanets', {
    method: 'POST',
    headers: owner.headers,
    body: JSON.stringify({
      name: `Clauses ${crypto.randomUUID()}`,
      description: 'Clauses of licences.',
      licence: 'CC0-1.0',
      domain: 'legal',
      ...overrides,
    }),
  })
  if (response.status !== 202) throw new Error(await response.text())
  return ((await response.json()) as { id: string }).id
}

/** Sends a contribution as a client would. */
export const contribute = (
  edge: Edge,
  contributor: SignedIn,
  datanet: string,
  {
    body,
    contentType = 'application/x-ndjson',
    metadata = METADATA,
  }: { body: string | Uint8Array; contentType?: string; metadata?: object },
): Promise<Response> =>
  edge.fetch(`/v1/datanets/${datanet}/contributions`, {
    method: 'POST',
    headers: {
      authorization: contributor.headers['authorization'] ?? '',
      'content-type': contentType,
      'x-openledger-metadata': JSON.stringify(metadata),
    },
    body: body as never,
  })

/** Waits until a contribution has one of the states. */
export const contributionIn = (
  edge: Edge,
  reader: SignedIn,
  id: string,
  states: string[],
): Promise<ContributionView> =>
  eventually(async () => {
    const response = await edge.fetch(`/v1/contributions/${id}`, { headers: reader.headers })
    if (response.status !== 200) throw new Error(await response.text())
    const view = (await response.json()) as ContributionView
    return states.includes(view.status) && view
  })

/** Sends records and waits for their verdicts. */
export async function contributeRecords(
  edge: Edge,
  contributor: SignedIn,
  datanet: string,
  records: object[],
): Promise<ContributionView> {
  const body = records.map((record) => JSON.stringify(record)).join('\n')
  const response = await contribute(edge, contributor, datanet, { body })
  if (response.status !== 202) throw new Error(await response.text())
  const { id } = (await response.json()) as { id: string }
  return contributionIn(edge, contributor, id, ['needs_anchor', 'anchored', 'rejected', 'failed'])
}

/** Distinct sentences of plain legal English. */
export const CLAUSES = [
  'Permission is hereby granted, free of charge, to any person obtaining a copy of this software.',
  'The licensee shall keep all copyright notices intact and provide appropriate attribution to the author.',
  'This agreement is governed by the laws of the state in which the licensor has its principal office.',
  'Neither party is liable for delays caused by events beyond its reasonable control, such as floods or strikes.',
  'Either party may terminate this contract by giving thirty days written notice to the other party.',
  'The supplier warrants that the goods delivered will be free from defects in material and workmanship.',
].map((text) => ({ text }))
