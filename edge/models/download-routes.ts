import { createRoute, z } from '@hono/zod-openapi'
import { EXPORT_FORMATS, type ExportFormat } from '#protocol/export.ts'
import { requireScope } from '../auth/authenticate.ts'
import type { Ctx } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { Problem } from '../problem.ts'
import { downloadAdapter, readCard } from './download.ts'

// As for models, names contain slashes, which clients send encoded or not.
const params = z.object({ id: z.string() })
const query = z.object({ format: z.enum(EXPORT_FORMATS).default('peft') })
const models = requireScope('models')

const downloadRoute = createRoute({
  method: 'get',
  path: '/v1/models/{id}/download',
  summary: 'Your adapter as a zip with its model card',
  description:
    '`peft`: the two files that PEFT loads. `merged`: the base model with the adapter merged in, in bfloat16, with configuration and tokenizer. `gguf`: an adapter for llama.cpp.',
  middleware: [models] as const,
  request: { params, query },
  responses: {
    200: {
      description: 'The zip',
      content: { 'application/zip': { schema: z.string().openapi({ format: 'binary' }) } },
    },
  },
})
const cardRoute = createRoute({
  method: 'get',
  path: '/v1/models/{id}/card',
  summary: 'The model card of an adapter',
  security: [],
  request: { params },
  responses: {
    200: {
      description: 'Markdown with front matter, as Hugging Face has it',
      content: { 'text/markdown': { schema: z.string() } },
    },
  },
})

export const downloadRoutes = newApp()

downloadRoutes.openapi(downloadRoute, (c) =>
  download(c.get('ctx'), c.req.valid('param').id, c.req.valid('query').format),
)
downloadRoutes.openapi(cardRoute, (c) => card(c.get('ctx'), c.req.valid('param').id))
downloadRoutes.get('/v1/models/:owner/:slug/download', models, (c) => {
  const parsed = query.safeParse(c.req.query())
  if (!parsed.success) throw new Problem('request/invalid', { param: 'format' })
  return download(c.get('ctx'), slashed(c.req.param()), parsed.data.format)
})
downloadRoutes.get('/v1/models/:owner/:slug/card', (c) =>
  card(c.get('ctx'), slashed(c.req.param())),
)

const slashed = ({ owner, slug }: { owner: string; slug: string }): string => `${owner}/${slug}`

async function download(ctx: Ctx, id: string, format: ExportFormat): Promise<Response> {
  const { name, bytes, body } = await downloadAdapter(ctx, id, format)
  // Of a stream the platform tells the length only when it is fixed, and then it also guards it.
  const sent = bytes === null ? body : body.pipeThrough(new FixedLengthStream(bytes))
  return new Response(sent, {
    headers: {
      'content-type': 'application/zip',
      'content-disposition': `attachment; filename="${name}"`,
      'cache-control': 'no-store',
    },
  })
}

const card = async (ctx: Ctx, id: string): Promise<Response> =>
  new Response(await readCard(ctx, id), {
    headers: { 'content-type': 'text/markdown; charset=utf-8' },
  })
