/** Makes downloads in processes of their own, a few at a time, and hands over the finished file. */
import { randomUUID } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { ExportRequest } from '#protocol/export.ts'
import { inChildProcess } from './child-process.ts'

export type ExportSettings = { edgeUrl: string; token: string; modelDirectory: string }
export type ExportAssignment = { request: ExportRequest; settings: ExportSettings; path: string }
export type ExportVerdict = { bytes: number } | { failed: string }

export type ExportedFile = { bytes: number; stream: Readable }

export type Exporter = {
  /** The zip, or null when too many are being made. Throws when it cannot be made. */
  export: (request: ExportRequest, signal: AbortSignal) => Promise<ExportedFile | null>
}

/** Each holds the base model in memory. */
const MOST_EXPORTS = 2
const PROCESS = new URL('export-process.ts', import.meta.url)

/** An exporter that keeps unfinished files in `directory`, which it empties first. */
export async function openExporter(directory: string, settings: ExportSettings): Promise<Exporter> {
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  let running = 0
  return {
    export: async (request, signal) => {
      if (running >= MOST_EXPORTS) return null
      running++
      const path = join(directory, `${randomUUID()}.zip`)
      try {
        const input: ExportAssignment = { request, settings, path }
        const verdict = await inChildProcess<ExportVerdict>({
          name: 'export',
          module: PROCESS,
          input,
          signal,
        })
        if ('failed' in verdict) throw new Error(verdict.failed)
        const file = await open(path)
        return { bytes: verdict.bytes, stream: file.createReadStream() }
      } finally {
        running--
        await rm(path, { force: true }) // an open file stays readable, and nothing is left when reading breaks off
      }
    },
  }
}
