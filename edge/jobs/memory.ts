import { trainingMemory } from '#protocol/training.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { LoraMethod } from '#protocol/wire.ts'
import type { Worker } from './workers.ts'

export type MemoryNeed = {
  /** Peak of the training process. */
  bytes: number
  withRecomputeBytes: number
  /** What the worker has in all. */
  availableBytes: number
}

/** What training takes on a worker beside what it has; null when the worker does not tell. */
export function memoryOn(
  { bases }: Pick<Worker, 'bases'>,
  base: Hex,
  method: LoraMethod,
): MemoryNeed | null {
  const host = bases.find(({ digest }) => digest === base)?.training
  return host
    ? {
        bytes: trainingMemory(host.shape, method),
        withRecomputeBytes: trainingMemory(host.shape, { ...method, recompute: true }),
        availableBytes: host.memoryBytes,
      }
    : null
}

/** The same on the worker that has the most memory; null when none tells. */
export function mostMemory(
  workers: readonly Pick<Worker, 'bases'>[],
  base: Hex,
  method: LoraMethod,
): MemoryNeed | null {
  const needs = workers.flatMap((worker) => memoryOn(worker, base, method) ?? [])
  return needs.toSorted((a, b) => b.availableBytes - a.availableBytes)[0] ?? null
}

/** Whether the training fits; a worker that does not tell is believed to have enough. */
export const isEnough = (need: MemoryNeed | null): boolean =>
  need === null || need.bytes <= need.availableBytes

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`

/** Why a job is refused, and what would help. */
export function whyTooLarge({ bytes, withRecomputeBytes, availableBytes }: MemoryNeed): string {
  const remedy =
    withRecomputeBytes <= availableBytes
      ? `With recompute it takes ${gib(withRecomputeBytes)}.`
      : 'A smaller batchSize or sequenceLength takes less.'
  return `Training would take ${gib(bytes)} of memory; the largest worker of this base has ${gib(availableBytes)}. ${remedy}`
}
