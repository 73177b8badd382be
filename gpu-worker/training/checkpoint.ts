/**
 * A checkpoint is one safetensors file: the adapter, both moments of AdamW, the best adapter so far and the snapshots as
 * tensors, the counters as JSON in the metadata. Batches follow from (seed, step), so the step is also the position in the data
 * and the state of the random numbers.
 */
import { z } from 'zod'
import { readSafetensors, safetensorsMetadata, writeSafetensors } from '#engine/safetensors.ts'
import type { HostTensor } from '#engine/tensor.ts'
import { canonicalJson, sha256Hex, type Hex } from '#protocol/bytes.ts'
import { bytes32, type JobManifest } from '#protocol/wire.ts'
import type { TrainingState } from './lora-training.ts'

const FORMAT = 'openledger-checkpoint-1'

const counters = z.object({
  format: z.literal(FORMAT),
  job: bytes32,
  step: z.int(),
  optimizerStep: z.int(),
  tokens: z.int(),
  initialValidationLoss: z.number().nullable(),
  best: z.object({ step: z.int(), validationLoss: z.number() }).nullable(),
  snapshots: z.int().min(0),
  stale: z.int(),
})

/** Ties a checkpoint to one job: another job's state must never be continued. */
const fingerprint = (job: JobManifest): Hex => sha256Hex(canonicalJson(job))

/** Bytes of a checkpoint. */
export function encodeCheckpoint(job: JobManifest, state: TrainingState): Uint8Array {
  const { adapter, moments, best, snapshots } = state
  const groups = {
    adapter,
    first: moments.first,
    second: moments.second,
    best: best?.adapter,
    ...Object.fromEntries(snapshots.map((snapshot, i) => [`snapshot.${i}`, snapshot])),
  }
  const tensors = Object.entries(groups).flatMap(([group, members]) =>
    [...(members ?? [])].map(([name, tensor]): [string, HostTensor] => [
      `${group}/${name}`,
      tensor,
    ]),
  )
  const meta: z.input<typeof counters> = {
    format: FORMAT,
    job: fingerprint(job),
    step: state.step,
    optimizerStep: moments.step,
    tokens: state.tokens,
    initialValidationLoss: state.initialValidationLoss,
    best: best && { step: best.step, validationLoss: best.validationLoss },
    snapshots: snapshots.length,
    stale: state.stale,
  }
  return writeSafetensors(new Map(tensors), 'F32', { state: JSON.stringify(meta) })
}

/** Reads a checkpoint of this job; throws on another job's, another format's or a damaged one. */
export function decodeCheckpoint(job: JobManifest, bytes: Uint8Array): TrainingState {
  const tensors = readSafetensors(bytes)
  const meta = counters.parse(JSON.parse(safetensorsMetadata(bytes)['state'] ?? 'null'))
  if (meta.job !== fingerprint(job)) throw new Error('the checkpoint belongs to another job')
  const group = (prefix: string) =>
    new Map(
      [...tensors]
        .filter(([name]) => name.startsWith(`${prefix}/`))
        .map(([name, tensor]) => [name.slice(prefix.length + 1), tensor]),
    )
  return {
    step: meta.step,
    tokens: meta.tokens,
    adapter: group('adapter'),
    moments: { step: meta.optimizerStep, first: group('first'), second: group('second') },
    initialValidationLoss: meta.initialValidationLoss,
    best: meta.best && { ...meta.best, adapter: group('best') },
    snapshots: Array.from({ length: meta.snapshots }, (_, i) => group(`snapshot.${i}`)),
    stale: meta.stale,
  }
}
