/** Many adapters of the embedded base for benchmarks: one is trained, the others are it with its weights perturbed. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gaussian, randomSource } from '#engine/random.ts'
import { loadBaseModel, type BaseModel } from '#gpu-worker/base-model.ts'
import { sha256Of, type BlobStore } from '#gpu-worker/blobs.ts'
import type { AdapterRef } from '#gpu-worker/serving/adapter-store.ts'
import type { AdapterOnChain, Chain } from '#gpu-worker/serving/chain.ts'
import { memoryBlobs, publishDatanet } from '#gpu-worker/testing/datanet.ts'
import { EMBEDDED_MODEL } from '#gpu-worker/testing/tiny-model.ts'
import { jobContext, OWNER, records, registered } from '#gpu-worker/testing/trained.ts'
import { runJob } from '#gpu-worker/training/job.ts'
import { digestOfFiles, exportPeft, importPeft } from '#gpu-worker/training/peft.ts'
import { canonicalJson, type Hex } from '#protocol/bytes.ts'
import { jobManifest, type AdapterManifest, type BlobRef } from '#protocol/wire.ts'

export type Adapters = {
  base: BaseModel
  refs: AdapterRef[]
  /** The trained one, whose index is its own. */
  trained: AdapterRef
  chain: Pick<Chain, 'adapter'>
  /** The store that stands for the edge's: files in a directory. */
  remote: Pick<BlobStore, 'get'>
}

const RANK = 8
const DEVIATION = 0.01
/** Random numbers that all adapters draw from, each from a place of its own. */
const NOISE = 2 ** 20
const STRIDE = 7_919

/**
 * Trains one adapter for a few steps and derives `count` from it, whose files lie in `directory`. They generate; their
 * indexes are the first one's, 5 MB that are not written for each.
 */
export async function makeAdapters(directory: string, count: number): Promise<Adapters> {
  await mkdir(directory, { recursive: true })
  const base = await loadBaseModel(EMBEDDED_MODEL)
  const held = memoryBlobs()
  const job = jobManifest.parse({
    jobId: 'ftjob-bench',
    owner: OWNER,
    slug: 'bench',
    base: { name: base.name, digest: base.digest },
    datanets: [await publishDatanet(held, records)],
    method: { rank: RANK, alpha: 2 * RANK, epochs: 1, sequenceLength: 64 },
  })
  const { manifest, blob: trainedBlob } = await runJob(
    { job, checkpoint: null },
    jobContext({ base, blobs: held, scratchDir: directory }).context,
  )

  const put = async (bytes: Uint8Array): Promise<BlobRef> => {
    const sha256 = sha256Of(bytes)
    await writeFile(join(directory, sha256), bytes)
    return { sha256, bytes: bytes.length }
  }
  const fileOf = (name: keyof AdapterManifest['files']) => held.get(manifest.files[name].sha256)
  for (const { sha256 } of [trainedBlob, ...Object.values(manifest.files)])
    await put(await held.get(sha256))
  const trained = importPeft(base.config, {
    weights: await fileOf('adapter_model.safetensors'),
    config: await fileOf('adapter_config.json'),
  })
  const noise = new Float32Array(NOISE)
  gaussian(randomSource(1), noise, DEVIATION)

  const refs: AdapterRef[] = []
  const onChain = new Map<Hex, AdapterOnChain>([
    [manifest.digest, registered(job, manifest, trainedBlob)],
  ])
  for (let i = 0; i < count; i++) {
    const tensors = new Map(
      [...trained.tensors].map(([name, { dims, data }]) => {
        const own = data.map((x, j) => x + (noise[(j + i * STRIDE) % NOISE] ?? 0))
        return [name, { dims, data: own }]
      }),
    )
    const peft = exportPeft({ lora: trained.lora, tensors }, base.name)
    const digest = digestOfFiles(peft, base.digest)
    const written: AdapterManifest = {
      ...manifest,
      digest,
      files: {
        ...manifest.files,
        'adapter_model.safetensors': await put(peft.weights),
        'adapter_config.json': await put(peft.config),
      },
    }
    const blob = await put(new TextEncoder().encode(canonicalJson(written)))
    refs.push({ digest, manifest: blob.sha256 })
    onChain.set(digest, registered(job, written, blob))
  }
  return {
    base,
    refs,
    trained: { digest: manifest.digest, manifest: trainedBlob.sha256 },
    chain: { adapter: async (digest) => onChain.get(digest) ?? null },
    remote: { get: (sha256) => readFile(join(directory, sha256)) },
  }
}
