/**
 * Checkpoints of a pre-training run: weights and both moments in one safetensors file, and `state.json`, which names
 * it. The tensors are written first and `state.json` is renamed into place last, so a killed run leaves either the
 * previous checkpoint or the new one, never a mixture.
 */
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { AdamWState } from '#engine/optimizer.ts'
import { readSafetensors, writeSafetensors } from '#engine/safetensors.ts'
import type { HostTensor, TensorMap } from '#engine/tensor.ts'

const STATE_FILE = 'state.json'

const stateFile = z.object({
  digest: z.string(),
  step: z.number().int(),
  elapsedMs: z.number(),
  tensors: z.string(),
})

/** Where a run stands. `elapsedMs` is wall-clock time over all its processes. */
export type RunState = {
  readonly parameters: TensorMap
  readonly optimizer: AdamWState
  readonly elapsedMs: number
}

const GROUPS = ['parameter', 'first', 'second'] as const

/** Writes a file under a temporary name, flushes it to disk and renames it into place. */
export async function writeAtomically(path: string, contents: string | Uint8Array): Promise<void> {
  const temporary = `${path}.partial`
  const file = await open(temporary, 'w')
  try {
    await file.writeFile(contents)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

/** Saves the state of the run on the dataset `digest`, and removes older checkpoints. */
export async function saveCheckpoint(dir: string, digest: string, state: RunState): Promise<void> {
  const { parameters, optimizer, elapsedMs } = state
  await mkdir(dir, { recursive: true })
  const maps = { parameter: parameters, first: optimizer.first, second: optimizer.second }
  const tensors = GROUPS.flatMap((group) =>
    Array.from(maps[group], ([name, tensor]): [string, HostTensor] => [`${group}/${name}`, tensor]),
  )
  const file = `step-${optimizer.step}.safetensors`
  await writeAtomically(join(dir, file), writeSafetensors(new Map(tensors)))
  const json = { digest, step: optimizer.step, elapsedMs, tensors: file }
  await writeAtomically(join(dir, STATE_FILE), JSON.stringify(stateFile.parse(json)))
  for (const name of await readdir(dir)) {
    if (name !== file && name !== STATE_FILE) await rm(join(dir, name))
  }
}

/** The last checkpoint in `dir`, or undefined. Throws when it belongs to another recipe or corpus. */
export async function loadCheckpoint(dir: string, digest: string): Promise<RunState | undefined> {
  const json = await readFile(join(dir, STATE_FILE), 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  })
  if (json === undefined) return undefined
  const state = stateFile.parse(JSON.parse(json))
  if (state.digest !== digest) {
    throw new Error(`the checkpoint in ${dir} is of another recipe or corpus; choose another --out`)
  }
  const tensors = readSafetensors(await readFile(join(dir, state.tensors)))
  const group = (prefix: (typeof GROUPS)[number]): TensorMap =>
    new Map(
      Array.from(tensors).flatMap(([name, tensor]) =>
        name.startsWith(`${prefix}/`) ? [[name.slice(prefix.length + 1), tensor] as const] : [],
      ),
    )
  return {
    parameters: group('parameter'),
    optimizer: { step: state.step, first: group('first'), second: group('second') },
    elapsedMs: state.elapsedMs,
  }
}
