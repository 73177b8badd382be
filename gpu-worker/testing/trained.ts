/** A tiny model fine-tuned on a tiny Datanet until it repeats its records, for tests of what follows training. */
import { ZERO_ADDRESS, type Hex } from '#protocol/bytes.ts'
import { defaultParameters, paramsHash } from '#protocol/parameters.ts'
import {
  jobManifest,
  loraMethod,
  type AdapterManifest,
  type BlobRef,
  type JobManifest,
} from '#protocol/wire.ts'
import { loadBaseModel, type FormattedBase } from '../base-model.ts'
import type { AdapterOnChain, Chain } from '../serving/chain.ts'
import { runJob } from '../training/job.ts'
import type { JobContext, JobEvent } from '../training/job-context.ts'
import { memoryBlobs, publishDatanet, versionRowOf, type TestRecord } from './datanet.ts'
import { writeTinyModel } from './tiny-model.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

export const contributor = (n: number): Hex => `0x${n.toString(16).padStart(40, '0')}`
export const OWNER: Hex = contributor(0xabc)
export const PRICE = 10n ** 12n

const words =
  'alder birch cedar dogwood elm fir ginkgo hazel ivy juniper kapok larch maple nutmeg oak pine quince rowan spruce teak'.split(
    ' ',
  )
/** Distinct facts, none of which can be told from another's words. */
export const records: TestRecord[] = Array.from({ length: 12 }, (_, n) => ({
  fields: {
    prompt: `Tell rule ${n}.`,
    completion: `Rule ${n}: ${Array.from({ length: 8 }, (_, i) => words[(n * 7 + i * (n + 3)) % 20]).join(' ')}.`,
  },
  contributor: contributor(1 + (n % 4)),
}))
export const recordHash = (n: number): Hex => versionRowOf(records[n] as TestRecord).record

export const method = loraMethod.parse({
  rank: 16,
  alpha: 32,
  learningRate: 0.02,
  epochs: 40,
  batchSize: 4,
  sequenceLength: 64,
  validationFraction: 0.1,
})

/** A place for jobs: the base model, and a store in memory with a Datanet of some records. */
export async function tinyWorkplace(contents: readonly TestRecord[] = records) {
  const scratch = scratchFolder()
  const base = await loadBaseModel(await writeTinyModel(scratch))
  const blobs = memoryBlobs()
  const datanet = await publishDatanet(blobs, contents)
  const job = jobManifest.parse({
    jobId: 'ftjob-test',
    owner: OWNER,
    slug: 'rules',
    base: { name: base.name, digest: base.digest },
    datanets: [datanet],
    method,
  })
  return { base, blobs, job, scratchDir: scratch }
}

/** The context of a job that writes down what it reports. */
export function jobContext(place: {
  base: FormattedBase
  blobs: ReturnType<typeof memoryBlobs>
  scratchDir: string
}) {
  const events: Omit<JobEvent, 'at' | 'level'>[] = []
  const checkpoints: BlobRef[] = []
  const phases: string[] = []
  const context: JobContext = {
    ...place,
    session: { threads: 1 },
    checkpointEveryMs: 100,
    signal: new AbortController().signal,
    report: {
      event: (event) => events.push(event),
      checkpoint: (blob) => checkpoints.push(blob),
      progress: (phase) => {
        if (phases.at(-1) !== phase) phases.push(phase)
      },
    },
  }
  return { context, events, checkpoints, phases }
}

/** Trains the adapter of a workplace. */
export async function trainTiny(place: Awaited<ReturnType<typeof tinyWorkplace>>) {
  const { context } = jobContext(place)
  return runJob({ job: place.job, checkpoint: null }, context)
}

/** What the chain says after an adapter was registered. */
export function registered(
  job: JobManifest,
  manifest: AdapterManifest,
  blob: BlobRef,
): AdapterOnChain {
  return {
    owner: OWNER,
    pricePerToken: PRICE,
    revoked: false,
    manifestHash: blob.sha256,
    base: job.base.digest,
    indexRoot: manifest.indexRoot,
    datanetRoots: job.datanets.map(({ root }) => root),
  }
}

/** A chain that holds one base and one adapter, changeable in place. */
export function fixedChain(base: Hex, digest: Hex, adapter: AdapterOnChain) {
  const state = { adapter, parameters: defaultParameters() }
  const chain: Chain = {
    base: async (asked) =>
      asked === base
        ? { owner: OWNER, pricePerToken: PRICE, revoked: false, manifestHash: base }
        : null,
    adapter: async (asked) => (asked === digest ? state.adapter : null),
    parameters: async () => ({ values: state.parameters, hash: paramsHash(state.parameters) }),
  }
  return { chain, state }
}

export const SETTLEMENT: Hex = ZERO_ADDRESS
