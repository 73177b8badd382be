/**
 * What the field uses, on the same gradients: every method gives a score of every record for every query. Formulas follow the
 * papers named; the block-wise methods take each factor of each module as a layer.
 */
import { padBatch } from '#engine/batch.ts'
import { mergeAdapter, type LoraConfig } from '#engine/models/lora.ts'
import { embedProgram } from '#engine/programs/embed.ts'
import type { Block } from '#engine/programs/influence.ts'
import { randomSource } from '#engine/random.ts'
import { openSession } from '#engine/session.ts'
import { requireTensor, type TensorMap } from '#engine/tensor.ts'
import { cholesky } from '#gpu-worker/attribution/landmarks.ts'
import type { BaseModel } from '#gpu-worker/base-model.ts'
import { buildBm25 } from '#gpu-worker/retrieval/bm25.ts'
import type { Example } from '#gpu-worker/training/examples.ts'
import type { AttributionTask } from './datasets.ts'
import type { Scores } from './statistics.ts'

type Examples = Pick<AttributionTask, 'train' | 'queries'>

/** Full gradients of records and queries at one adapter, and the records' mean losses there. */
export type Gradients = {
  blocks: readonly Block[]
  train: readonly Float32Array[]
  queries: readonly Float32Array[]
  losses: readonly number[]
}

/** An [N, N] kernel among records and the [N, Q] one with the queries, row-major. */
type Kernels = { own: Float64Array; asked: Float64Array }

export function randomScores({ train, queries }: Examples): Scores {
  const random = randomSource(11)
  return train.map(() => Float64Array.from(queries, () => random()))
}

/** Words shared with the query's answer. */
export function bm25Scores({ train, queries }: Examples, base: BaseModel): Scores {
  const text = (example: Example) =>
    base.tokenizer.decode(example.tokens.filter((_, i) => example.targets[i] === 1))
  const index = buildBm25(train.map(text))
  const scores = train.map(() => new Float64Array(queries.length))
  queries.forEach((query, q) => {
    for (const { document, score } of index.rank(text(query), train.length))
      (scores[document] as Float64Array)[q] = score
  })
  return scores
}

/** Cosine of the fine-tuned model's hidden states of the last token (RepSim, Li et al. 2024). */
export async function repSimScores(
  { train, queries }: Examples,
  base: BaseModel,
  { lora, tensors }: { lora: LoraConfig; tensors: TensorMap },
): Promise<Scores> {
  const merged = mergeAdapter(base.config, base.parameters, lora, tensors)
  const session = await openSession(embedProgram(base.config), merged, { threads: 1 })
  const hidden = async (example: Example): Promise<Float32Array> => {
    const { tokens, segments, positions } = padBatch([example]).feeds
    if (!tokens || !segments || !positions) throw new Error('a batch has tokens')
    const pool = new Float32Array(example.tokens.length)
    pool[pool.length - 1] = 1
    const feeds = { tokens, segments, positions, pool: { dims: [1, 1, pool.length], data: pool } }
    return requireTensor(await session.run(feeds), 'embeddings').data.slice()
  }
  try {
    const own: Float32Array[] = []
    for (const example of train) own.push(await hidden(example))
    const asked: Float32Array[] = []
    for (const example of queries) asked.push(await hidden(example))
    return own.map((a) => asked.map((b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))))
  } finally {
    await session.release()
  }
}

/** The methods that see full gradients. One pass over the blocks, whose kernels are not all held at once. */
export function gradientScores(gradients: Gradients): Map<string, Scores> {
  const { blocks, train, queries } = gradients
  const [n, m] = [train.length, queries.length]
  const total: Kernels = { own: new Float64Array(n * n), asked: new Float64Array(n * m) }
  const dataInf = new Float64Array(n * m)
  for (const block of blocks) {
    const kernels = blockKernels(gradients, block)
    add(total.own, kernels.own)
    add(total.asked, kernels.asked)
    add(dataInf, dataInfBlock(kernels, n, m, block.rows * block.columns))
  }
  const norms = train.map((_, i) => Math.sqrt(total.own[i * n + i] ?? 0))
  const split = (flat: Float64Array) => train.map((_, i) => flat.subarray(i * m, (i + 1) * m))
  return new Map<string, Scores>([
    ['GradDot', split(total.asked)],
    ['GradCos', split(total.asked).map((row, i) => row.map((x) => x / (norms[i] || 1)))],
    ['DataInf', split(dataInf)],
    ['TRAK (one model, k = 256)', trakScores(gradients)],
    ['LoGra, D = 2,016', logra(gradients, LOGRA_COLUMNS)],
    ['exact damped Gauss-Newton, c = 0.1', split(dual(total, n, m, 0.1))],
    ['exact damped Gauss-Newton, c = 3', split(dual(total, n, m, 3))],
  ])
}

function blockKernels({ train, queries }: Gradients, { offset, rows, columns }: Block): Kernels {
  const part = (g: Float32Array) => g.subarray(offset, offset + rows * columns)
  const [own, asked] = [train.map(part), queries.map(part)]
  const n = own.length
  const result = { own: new Float64Array(n * n), asked: new Float64Array(n * asked.length) }
  own.forEach((a, i) => {
    for (let j = 0; j <= i; j++) {
      const value = dot(a, own[j] as Float32Array)
      result.own[i * n + j] = value
      result.own[j * n + i] = value
    }
    asked.forEach((b, q) => (result.asked[i * asked.length + q] = dot(a, b)))
  })
  return result
}

/** DataInf (Kwon et al. 2024), equation 5, from kernels: the mean of inverses in place of the inverse of the mean. */
function dataInfBlock({ own, asked }: Kernels, n: number, m: number, size: number): Float64Array {
  let trace = 0
  for (let i = 0; i < n; i++) trace += own[i * n + i] ?? 0
  const lambda = (0.1 * trace) / (n * size)
  const scores = new Float64Array(n * m)
  if (trace === 0) return scores
  for (let k = 0; k < n; k++) {
    for (let q = 0; q < m; q++) {
      let correction = 0
      for (let i = 0; i < n; i++)
        correction +=
          ((asked[i * m + q] ?? 0) * (own[i * n + k] ?? 0)) / (lambda + (own[i * n + i] ?? 0))
      scores[k * m + q] = ((asked[k * m + q] ?? 0) - correction / n) / lambda
    }
  }
  return scores
}

/** (K + c tr(K)/n I)⁻¹ S: the damped Gauss-Newton influence without any projection. */
function dual({ own, asked }: Kernels, n: number, m: number, damping: number): Float64Array {
  let trace = 0
  for (let i = 0; i < n; i++) trace += own[i * n + i] ?? 0
  const packed = new Float64Array((n * (n + 1)) / 2)
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++)
      packed[(i * (i + 1)) / 2 + j] = (own[i * n + j] ?? 0) + (i === j ? (damping * trace) / n : 0)
  return solveSpd(packed, n, asked, m)
}

/** A⁻¹ B for a symmetric positive definite A [n, n], packed, and B [n, m]. */
function solveSpd(packed: Float64Array, n: number, b: Float64Array, m: number): Float64Array {
  const factor = cholesky(packed, n)
  const x = b.slice()
  for (let q = 0; q < m; q++) {
    for (let i = 0; i < n; i++) {
      let sum = x[i * m + q] ?? 0
      const at = (i * (i + 1)) / 2
      for (let j = 0; j < i; j++) sum -= (factor[at + j] ?? 0) * (x[j * m + q] ?? 0)
      x[i * m + q] = sum / (factor[at + i] ?? 1)
    }
    for (let i = n - 1; i >= 0; i--) {
      const at = (i * (i + 1)) / 2
      const value = (x[i * m + q] ?? 0) / (factor[at + i] ?? 1)
      x[i * m + q] = value
      for (let j = 0; j < i; j++) x[j * m + q] = (x[j * m + q] ?? 0) - (factor[at + j] ?? 0) * value
    }
  }
  return x
}

const TRAK_DIMS = 256

/**
 * TRAK (Park et al. 2023) with one model: the output function is the log-odds of the mean token probability p, whose
 * gradient is that of the loss over (1 - p) up to sign; scores are φ_q (ΦᵀΦ)⁻¹ φ_i (1 - p_i).
 */
function trakScores({ train, queries, losses }: Gradients): Scores {
  const odds = losses.map((loss) => 1 - Math.exp(-loss))
  const sketch = (g: Float32Array) => countSketch(g, TRAK_DIMS)
  const phi = train.map((g, i) => sketch(g).map((x) => x / (odds[i] ?? 1)))
  const asked = queries.map(sketch)
  const gram = new Float64Array((TRAK_DIMS * (TRAK_DIMS + 1)) / 2)
  for (const row of phi) {
    let at = 0
    for (let i = 0; i < TRAK_DIMS; i++)
      for (let j = 0; j <= i; j++) gram[at] = (gram[at++] ?? 0) + (row[i] ?? 0) * (row[j] ?? 0)
  }
  const columns = new Float64Array(TRAK_DIMS * asked.length)
  asked.forEach((vector, q) => vector.forEach((x, i) => (columns[i * asked.length + q] = x)))
  const solved = solveSpd(gram, TRAK_DIMS, columns, asked.length)
  return phi.map((row, i) =>
    asked.map((_, q) => {
      let sum = 0
      row.forEach((x, j) => (sum += x * (solved[j * asked.length + q] ?? 0)))
      return sum * (odds[i] ?? 1)
    }),
  )
}

function countSketch(vector: Float32Array, dims: number): Float64Array {
  const random = randomSource(99)
  const result = new Float64Array(dims)
  for (const x of vector) {
    const draw = Math.floor(random() * 2 * dims)
    const place = draw % dims
    result[place] = (result[place] ?? 0) + (draw < dims ? x : -x)
  }
  return result
}

/** 84 blocks of 4 x 6: 2,016 dimensions. */
const LOGRA_COLUMNS = 6

/** LoGra (Choe et al. 2024): each block projected by random signs, damped raw Fisher inverse per block, c = 0.1. */
function logra({ blocks, train, queries }: Gradients, kept: number): Scores {
  const scores = train.map(() => new Float64Array(queries.length))
  blocks.forEach((block, b) => {
    const project = signProjection(block, kept, b)
    const [own, asked] = [train.map(project), queries.map(project)]
    const size = own[0]?.length ?? 0
    const gram = new Float64Array((size * (size + 1)) / 2)
    for (const row of own) {
      let at = 0
      for (let i = 0; i < size; i++)
        for (let j = 0; j <= i; j++)
          gram[at] = (gram[at++] ?? 0) + ((row[i] ?? 0) * (row[j] ?? 0)) / own.length
    }
    let trace = 0
    for (let i = 0; i < size; i++) trace += gram[(i * (i + 3)) / 2] ?? 0
    if (trace === 0) return
    for (let i = 0; i < size; i++) {
      const at = (i * (i + 3)) / 2
      gram[at] = (gram[at] ?? 0) + (0.1 * trace) / size
    }
    const columns = new Float64Array(size * asked.length)
    asked.forEach((vector, q) => vector.forEach((x, i) => (columns[i * asked.length + q] = x)))
    const solved = solveSpd(gram, size, columns, asked.length)
    own.forEach((row, k) => {
      const into = scores[k] as Float64Array
      for (let q = 0; q < asked.length; q++) {
        let sum = 0
        row.forEach((x, i) => (sum += x * (solved[i * asked.length + q] ?? 0)))
        into[q] = (into[q] ?? 0) + sum
      }
    })
  })
  return scores
}

function signProjection({ offset, rows, columns }: Block, kept: number, seed: number) {
  const random = randomSource(seed + 500)
  const signs = Float64Array.from({ length: columns * kept }, () => (random() < 0.5 ? -1 : 1))
  return (g: Float32Array): Float64Array => {
    const out = new Float64Array(rows * kept)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) {
        const x = g[offset + r * columns + c] ?? 0
        for (let k = 0; k < kept; k++)
          out[r * kept + k] = (out[r * kept + k] ?? 0) + x * (signs[c * kept + k] ?? 0)
      }
    return out
  }
}

function add(into: Float64Array, from: Float64Array): void {
  for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) + (from[i] ?? 0)
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}
