/** Texts as vectors, so that records are found by what they mean and not only by their words. */
import { resolve } from 'node:path'
import { openSession, type SessionOptions } from '#engine/session.ts'
import { embedProgram } from '#engine/programs/embed.ts'
import { requireTensor } from '#engine/tensor.ts'
import type { BaseModel } from '../base-model.ts'

export type Embedder = {
  /** What made the vectors: they are compared only with others of the same name. */
  name: string
  /** One vector of length 1 per text, in order. */
  embed: (texts: readonly string[]) => Promise<Float32Array[]>
  release: () => Promise<void>
}

/** `base`: the served base model. `off`: words alone. Else the directory of a feature-extraction model in ONNX. */
export type EmbedderChoice = 'base' | 'off' | (string & {})

/** Opens an embedder; null for `off`. Nothing is downloaded. */
export async function openEmbedder(
  choice: EmbedderChoice,
  base: BaseModel,
  session: SessionOptions,
): Promise<Embedder | null> {
  if (choice === 'off') return null
  return choice === 'base' ? baseEmbedder(base, session) : transformersEmbedder(choice)
}

/** Tokens of a text that its vector is made of. */
const MOST_TOKENS = 256
const TEXTS_PER_RUN = 8

/** The mean of the base model's last hidden states over a text's tokens. */
async function baseEmbedder(base: BaseModel, options: SessionOptions): Promise<Embedder> {
  const { config, parameters, tokenizer } = base
  const session = await openSession(embedProgram(config), parameters, options)
  const run = async (texts: readonly string[]): Promise<Float32Array[]> => {
    const sequences = texts.map((text) => {
      const tokens = tokenizer.encodePrompt({ prompt: text }).slice(0, MOST_TOKENS)
      return tokens.length > 0 ? tokens : [0]
    })
    const length = Math.max(...sequences.map((tokens) => tokens.length))
    const size = sequences.length * length
    const [tokens, segments, positions] = [0, -1, 0].map((fill) => new Int32Array(size).fill(fill))
    const pool = new Float32Array(size)
    sequences.forEach((sequence, row) =>
      sequence.forEach((token, i) => {
        const at = row * length + i
        if (tokens) tokens[at] = token
        if (segments) segments[at] = row
        if (positions) positions[at] = i
        pool[at] = 1 / sequence.length
      }),
    )
    const dims = [sequences.length, length]
    const grid = (data: Int32Array = new Int32Array(size)) => ({ dims, data })
    const { data } = requireTensor(
      await session.run({
        tokens: grid(tokens),
        segments: grid(segments),
        positions: grid(positions),
        pool: { dims: [sequences.length, 1, length], data: pool },
      }),
      'embeddings',
    )
    return sequences.map((_, row) => data.slice(row * config.hidden, (row + 1) * config.hidden))
  }
  return {
    name: base.digest,
    embed: async (texts) => (await inRuns(texts, run)).map(normalized),
    release: session.release,
  }
}

/** A model directory in Hugging Face layout, run by @huggingface/transformers with mean pooling. */
async function transformersEmbedder(directory: string): Promise<Embedder> {
  const { env, pipeline } = await import('@huggingface/transformers')
  env.allowRemoteModels = false
  const path = resolve(directory)
  const extract = await pipeline('feature-extraction', path, { local_files_only: true })
  return {
    name: path,
    embed: (texts) =>
      inRuns(texts, async (part) => {
        const { data, dims } = await extract(part, { pooling: 'mean', normalize: true })
        const width = dims.at(-1) ?? 0
        return part.map((_, row) =>
          Float32Array.from({ length: width }, (_item, i) => Number(data[row * width + i])),
        )
      }),
    release: () => extract.dispose().then(() => undefined),
  }
}

/** The vectors of texts, some at a time; a run of none, which models refuse, is not made. */
async function inRuns(
  texts: readonly string[],
  run: (part: string[]) => Promise<Float32Array[]>,
): Promise<Float32Array[]> {
  const vectors: Float32Array[] = []
  for (let at = 0; at < texts.length; at += TEXTS_PER_RUN)
    vectors.push(...(await run(texts.slice(at, at + TEXTS_PER_RUN))))
  return vectors
}

/** Dot product: the cosine of two vectors of length 1. */
export const cosine = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0)

function normalized(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(cosine(vector, vector))
  return norm > 0 ? vector.map((x) => x / norm) : vector
}
