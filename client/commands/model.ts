import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { EXPORT_FORMATS } from '#protocol/export.ts'
import { onlyArgument, UsageError, type Command } from '../command.ts'
import type { ListedModel } from '../schema.ts'
import { textTable } from '../table.ts'

/** The models that can be asked. */
export const listModels: Command = {
  details: '',
  options: {},
  run: async ({ settings, print }) => {
    const models: ListedModel[] = []
    for await (const model of settings.guest.models()) models.push(model)
    const rows = models.map(({ id, openledger: { kind, adapter } }) => [
      id,
      kind,
      (adapter?.datanets ?? []).map((datanet) => `${datanet.id}@${datanet.version}`).join(', '),
    ])
    print(textTable([['model', 'kind', 'learned from'], ...rows]), models)
    return 0
  },
}

/** Downloads an adapter as a zip. */
export const downloadModel: Command = {
  details: `The zip holds the model card and, by format, what PEFT loads (peft, the default), the base model with the adapter
merged in (merged), or an adapter for llama.cpp (gguf). The file appears when it is whole.`,
  options: {
    format: { value: 'FORMAT', describe: EXPORT_FORMATS.join(', ') },
    out: { value: 'FILE', describe: 'where to put it (default: the name that the server gives)' },
  },
  run: async ({ settings, input, progress, print, signal }) => {
    const name = onlyArgument(input, 'model download', 'NAME')
    const format = EXPORT_FORMATS.find((known) => known === (input.text('format') ?? 'peft'))
    if (!format) throw new UsageError(`--format is one of ${EXPORT_FORMATS.join(', ')}`)
    const client = await settings.client()
    const step = progress.step(`${name} as ${format}`)
    const response = await client.downloadModel(name, format, signal)
    const total = Number(response.headers.get('content-length')) || null
    const path = input.text('out') ?? fileName(response, format)
    const partial = `${path}.partial`
    let bytes = 0
    const body = Readable.fromWeb(response.body as never)
    body.on('data', (chunk: Uint8Array) => {
      bytes += chunk.length
      if (total) step.update(bytes / total)
    })
    try {
      await pipeline(body, createWriteStream(partial), { signal })
      if (total !== null && bytes !== total) throw new Error('the download broke off')
      await rename(partial, path)
    } catch (error) {
      await rm(partial, { force: true })
      throw error
    }
    step.done(`${bytes} bytes`)
    print(path, { path, bytes, format })
    return 0
  },
}

/** The server's name for the file, which must not lead out of this folder. */
function fileName(response: Response, format: string): string {
  const said = /filename="([\w.-]+)"/.exec(response.headers.get('content-disposition') ?? '')?.[1]
  return said === undefined || said.startsWith('.') ? `adapter-${format}.zip` : said
}
