/** The process of one export, started by exporter.ts: a merged model takes the base's memory once more while it is made. */
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { loadBaseModel } from '../base-model.ts'
import { edgeBlobs } from '../blobs.ts'
import { describeError } from '../log.ts'
import { exportZip } from './adapter-export.ts'
import type { ExportAssignment, ExportVerdict } from './exporter.ts'
import { digestOfFiles, importPeft } from './peft.ts'

process.once('disconnect', () => process.exit(1))
process.once('message', (assignment: ExportAssignment) => {
  void run(assignment)
    .catch((error: unknown): ExportVerdict => ({ failed: describeError(error) }))
    .then((verdict) => process.send?.(verdict, () => process.exit(0)))
})

async function run({ request, settings, path }: ExportAssignment): Promise<ExportVerdict> {
  const base = await loadBaseModel(settings.modelDirectory)
  const blobs = edgeBlobs(settings.edgeUrl, settings.token)
  const { digest, weights, config } = request.adapter
  const files = { weights: await blobs.get(weights), config: await blobs.get(config) }
  const found = digestOfFiles(files, base.digest)
  if (found !== digest) throw new Error(`the files make the digest ${found}, not ${digest}`)
  const { bytes, stream } = await exportZip(base, importPeft(base.config, files), request)
  await pipeline(Readable.fromWeb(stream as never), createWriteStream(path))
  return { bytes }
}
