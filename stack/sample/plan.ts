import { basename } from 'node:path'
import type { ContentType, Metadata } from '#client/openledger.ts'
import { contentTypeOf, partsOf } from '#client/parts.ts'
import type { Hyperparameters } from '#client/schema.ts'
import { sampleContributors } from './licences.ts'

/** A file as a contributor hands it in. */
export type PlannedFile = { body: string | Uint8Array<ArrayBuffer>; type: ContentType }

export type Plan = {
  datanet: {
    name: string
    slug: string
    description: string
    licence: string
    domain: string
    profile?: Record<string, unknown>
  }
  metadata: Metadata
  contributors: { name: string; files: PlannedFile[] }[]
  adapterSlug: string
  hyperparameters: Hyperparameters
  /** What to ask the models; none means that the records themselves say it. */
  questions: string[]
  /** Whether answers must name records: a handful of records may well shape none in particular. */
  expectAttribution: boolean
}

/** The sample: clauses of the world's software licences, handed in by the families they belong to. */
export function samplePlan(run: number): Plan {
  return {
    datanet: {
      name: 'Licence clauses',
      slug: numbered('licence-clauses', run),
      description: 'Clauses of software and data licences, each with the question that it answers.',
      licence: 'CC0-1.0',
      domain: 'legal',
    },
    metadata: {
      source: 'npm package spdx-license-list',
      intended_use: 'training language models to answer questions about licences',
      licence: 'CC0-1.0',
      context: 'cut at paragraphs; questions generated from headings and wording',
    },
    contributors: sampleContributors().map(({ name, records }) => ({
      name,
      files: [
        {
          type: 'application/x-ndjson',
          body: records.map((record) => `${JSON.stringify(record)}\n`).join(''),
        },
      ],
    })),
    adapterSlug: numbered('licence-clauses', run),
    hyperparameters: { learningRate: 6e-3, epochs: 3 },
    questions: [
      'What does the MIT License say about the copyright notice?',
      'What does the Creative Commons Attribution 4.0 International say about termination?',
      'What does the Python License 2.0 say about termination?',
    ],
    expectAttribution: true,
  }
}

/** The same journey for a user's own file. Throws a UsageError for a file that cannot be handed in. */
export function planFor(file: {
  path: string
  bytes: Uint8Array
  name: string
  run: number
}): Plan {
  const name = basename(file.path)
  return {
    datanet: {
      name: file.name,
      slug: numbered(slugOf(file.name), file.run),
      description: `Records of ${name}.`,
      licence: 'LicenseRef-Own',
      domain: 'own',
    },
    metadata: {
      source: name,
      intended_use: 'training a model of one’s own',
      licence: 'LicenseRef-Own',
      context: 'handed in by npm start --data',
    },
    contributors: [
      {
        name: 'you',
        files: partsOf({ body: Uint8Array.from(file.bytes), type: contentTypeOf(file.path) }),
      },
    ],
    adapterSlug: numbered(slugOf(file.name), file.run),
    hyperparameters: { learningRate: 6e-3, epochs: 3 },
    questions: [],
    expectAttribution: false,
  }
}

const numbered = (slug: string, run: number): string => (run === 1 ? slug : `${slug}-${run}`)

const slugOf = (name: string): string =>
  name
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 48) || 'own'
