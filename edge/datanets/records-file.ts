import { z } from 'zod'
import { canonicalJson, type Hex } from '#protocol/bytes.ts'
import { bytes32, recordFields } from '#protocol/wire.ts'
import { getBlob, putBlob } from '../blobs/store.ts'
import type { Env } from '../env.ts'
import type { PipelineRecord } from './pipeline/pipeline.ts'

/** What later steps read of a processed record; the file holds more: evidence, signals, redactions, for appeal. */
const acceptedRecord = z.object({
  row: z.int(),
  verdict: z.literal('accepted'),
  novelty: z.number(),
  recordHash: bytes32,
  cluster: bytes32,
  fields: recordFields,
  metadata: z.record(z.string(), z.unknown()),
})
export type AcceptedRecord = z.infer<typeof acceptedRecord>

/** Stores everything the pipeline said about a contribution as canonical JSONL; equal results, equal file. */
export async function putRecordsFile(env: Env, records: readonly PipelineRecord[]): Promise<Hex> {
  const lines = records.map((record) => `${canonicalJson({ ...record, indexEntry: undefined })}\n`)
  return (await putBlob(env, new TextEncoder().encode(lines.join('')))).sha256
}

/** The accepted records of a records file, in order. Throws when the file is missing or not ours. */
export async function readAccepted(env: Env, sha256: Hex): Promise<AcceptedRecord[]> {
  const bytes = await getBlob(env, sha256)
  if (!bytes) throw new Error(`records file ${sha256} is missing`)
  return new TextDecoder()
    .decode(bytes)
    .split('\n')
    .flatMap((line) => {
      const record: unknown = line === '' ? null : JSON.parse(line)
      return isAccepted(record) ? [acceptedRecord.parse(record)] : []
    })
}

const isAccepted = (record: unknown): boolean =>
  typeof record === 'object' &&
  record !== null &&
  'verdict' in record &&
  record.verdict === 'accepted'
