import { makeZip, predictLength } from 'client-zip'
import { eq } from 'drizzle-orm'
import type { ExportFormat, ExportRequest } from '#protocol/export.ts'
import { adapterManifest, type AdapterManifest, type BlobRef } from '#protocol/wire.ts'
import { blobKey, getJson } from '../blobs/store.ts'
import { accountOf, type Ctx } from '../context.ts'
import { jobs } from '../db/schema-models.ts'
import { askWorker } from '../jobs/ask-worker.ts'
import { Problem } from '../problem.ts'
import { modelCard } from './card.ts'
import { resolveModel, type Adapter } from './catalogue.ts'

/** The same adapter is the same zip. */
const EPOCH = new Date('2000-01-01T00:00:00Z')

export type Download = { name: string; bytes: number | null; body: ReadableStream<Uint8Array> }

/**
 * An adapter as a zip with its model card, for its owner. PEFT's files are packed here; a merged model or a GGUF adapter is
 * made by a worker, which has the base. Throws what `resolveModel` throws, `auth/forbidden`, `model/unavailable`.
 */
export async function downloadAdapter(
  ctx: Ctx,
  id: string,
  format: ExportFormat,
): Promise<Download> {
  const { adapter, manifest } = await findAdapter(ctx, id)
  if (adapter.owner !== accountOf(ctx).address)
    throw new Problem('auth/forbidden', { detail: `${id} belongs to ${adapter.owner}.` })
  const card = await cardOf(ctx, adapter, manifest)
  const name = `${manifest.slug}-${format}.zip`
  if (format === 'peft') return { name, ...(await peftZip(ctx, manifest, card)) }
  const request: ExportRequest = {
    base: adapter.base,
    adapter: {
      digest: adapter.digest,
      weights: manifest.files['adapter_model.safetensors'].sha256,
      config: manifest.files['adapter_config.json'].sha256,
    },
    format,
    card,
  }
  const response = await askWorker(ctx, adapter.base, '/export', request)
  if (!response.body) throw new Error('a worker sent an export without a body')
  const length = Number(response.headers.get('content-length') ?? Number.NaN)
  return { name, bytes: Number.isInteger(length) ? length : null, body: response.body }
}

/** The model card of an adapter; anybody may read it. Throws what `resolveModel` throws. */
export async function readCard(ctx: Ctx, id: string): Promise<string> {
  const { adapter, manifest } = await findAdapter(ctx, id)
  return cardOf(ctx, adapter, manifest)
}

async function findAdapter(
  ctx: Ctx,
  id: string,
): Promise<{ adapter: Adapter; manifest: AdapterManifest }> {
  const { adapter } = await resolveModel(ctx, id)
  if (!adapter)
    throw new Problem('model/not-found', { detail: `${id} is a base model, not an adapter.` })
  const manifest = await getJson(ctx.env, adapter.manifest, adapterManifest)
  if (!manifest) throw new Error(`the manifest ${adapter.manifest} is not in the store`)
  return { adapter, manifest }
}

async function cardOf(ctx: Ctx, adapter: Adapter, manifest: AdapterManifest): Promise<string> {
  const [job] = await ctx.db.select().from(jobs).where(eq(jobs.id, adapter.jobId))
  return modelCard(ctx, { adapter, manifest, method: job?.manifest.method ?? null })
}

/** The directory that `PeftModel.from_pretrained` loads; its files stream from R2, which has checked their hashes. */
async function peftZip(ctx: Ctx, { files }: AdapterManifest, card: string) {
  const stored = async (name: string, { sha256 }: BlobRef) => {
    const object = await ctx.env.BLOBS.get(blobKey(sha256))
    if (!object) throw new Error(`${name} (${sha256}) is not in the store`)
    return { name, input: object.body as ReadableStream<Uint8Array>, size: object.size }
  }
  const readme = new TextEncoder().encode(card)
  const entries = [
    { name: 'README.md', input: readme, size: readme.length },
    await stored('adapter_config.json', files['adapter_config.json']),
    await stored('adapter_model.safetensors', files['adapter_model.safetensors']),
  ].map((entry) => ({ ...entry, lastModified: EPOCH }))
  const sizes = entries.map(({ name, size }) => ({ name, size }))
  return { bytes: Number(predictLength(sizes)), body: makeZip(entries) }
}
