/**
 * What of a worker's HTTP side needs no engine, as a process for the edge's tests: previews by the embedded model's tokenizer,
 * and exports that answer with what they were asked. Arguments: the token and the base's digest. Says its port and shape.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { Hex } from '#protocol/bytes.ts'
import { identifyBase } from '../base-model.ts'
import { createHttpServer } from '../http-server.ts'
import { createMetrics } from '../metrics.ts'
import { shapeOf } from '../training/memory.ts'
import { openPreview } from '../training/preview.ts'
import { EMBEDDED_MODEL } from './tiny-model.ts'

const [, , token = '', digest = ''] = process.argv
const base = await identifyBase(EMBEDDED_MODEL)
const server = createHttpServer({
  token,
  inference: null as never, // nobody asks for answers
  metrics: createMetrics(() => null as never),
  preview: openPreview({ ...base, digest: digest as Hex }),
  exporter: {
    export: async (request) => {
      const body = Buffer.from(JSON.stringify(request))
      return { bytes: body.length, stream: Readable.from([body]) }
    },
  },
  health: () => ({}),
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
process.stdout.write(`${JSON.stringify({ port, shape: shapeOf(base.config) })}\n`)
