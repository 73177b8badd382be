// The influence program: per-example LoRA gradients, projected, from one batched backward pass (LoGra, Choe et al. 2024,
// on the adapter's own factors). For a module with h = A x, scale s = alpha / r and delta = dL/dy, per example
//
//   gA = s Σ_t (Bᵀ delta_t) (P_in x_t)ᵀ    [r, k]        gB = s Σ_t h_t (P_out delta_t)ᵀ    [r, k]
//
// A full gradient is never formed. One example per row of the batch; padding has no target and contributes zero.
import { Graph } from '../onnx/graph.ts'
import type { Dim } from '../onnx/dims.ts'
import type { Value } from '../onnx/graph.ts'
import { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import { adapterDims, loraRank, loraScale } from '../models/lora.ts'
import type { LoraConfig } from '../models/lora.ts'
import { modulesOf } from '../models/parameters.ts'
import type { WeightFormat } from '../quant.ts'
import { frozenModel } from './base.ts'
import { sealProgram } from './program.ts'
import type { Program } from './program.ts'
import { adaptWith, declareInputs, sequenceLoss } from './sequence.ts'
import type { Tap } from './sequence.ts'

export type InfluenceOptions = {
  readonly lora: LoraConfig
  /** Columns k of every projection; a dimension d <= k is kept as it is. */
  readonly projected: number
  /** Format of the base's matrices; float32 when absent. */
  readonly format?: WeightFormat
}

export type ProjectionSide = 'in' | 'out'

export const projectionName = (module: string, side: ProjectionSide): string =>
  `${module}.projection_${side}`

/** One gradient block inside a row of `blocks`: r rows of `columns` numbers, starting at `offset`. */
export type Block = {
  readonly module: string
  readonly factor: 'A' | 'B'
  readonly offset: number
  readonly rows: number
  readonly columns: number
  /** The projection that made it, [d, k]; null when d <= k. */
  readonly projection: { readonly name: string; readonly dims: readonly [number, number] } | null
}

/** Where each module's gA and gB lie in a row of `blocks`, in the order of the row. */
export function influenceBlocks(
  config: LlamaConfig,
  { lora, projected }: InfluenceOptions,
): readonly Block[] {
  let offset = 0
  return modulesOf(config, lora.targets).flatMap(({ name, inDim, outDim }) =>
    (
      [
        ['A', 'in', inDim],
        ['B', 'out', outDim],
      ] as const
    ).map(([factor, side, d]): Block => {
      const columns = Math.min(d, projected)
      const projection =
        d <= projected ? null : { name: projectionName(name, side), dims: [d, projected] as const }
      const rows = loraRank(lora, name)
      const block = { module: name, factor, offset, rows, columns, projection }
      offset += rows * columns
      return block
    }),
  )
}

/** Length D of a row of `blocks`. */
export const influenceDims = (blocks: readonly Block[]): number =>
  blocks.reduce((sum, { rows, columns }) => sum + rows * columns, 0)

/**
 * Compiles `influence`. Inputs: those of `train` for a LoRA config (the weights should make each example's loss its own
 * mean), and the projections [d, k] that `influenceBlocks` lists. Outputs: `blocks` [B, D] and `nll` [M, 1].
 */
export function influenceProgram(config: LlamaConfig, options: InfluenceOptions): Program {
  const { lora } = options
  const g = new Graph('influence')
  const tape = new Tape(g)
  const taps = new Map<string, Tap>()
  const adapter = declareInputs(g, adapterDims(config, lora))
  const { loss, nll } = sequenceLoss(tape, config, {
    ...frozenModel(tape, config, options.format ?? 'f32'),
    adapt: adaptWith(tape, lora, adapter, { onTap: (module, tap) => taps.set(module, tap) }),
  })

  const tapped = [...taps.values()]
  const gradients = tape.gradients(
    loss,
    tapped.flatMap(({ u, y }) => [u, y]),
  )
  const blocks = influenceBlocks(config, options).map((block, i) => {
    const tap = taps.get(block.module)
    const gradient = gradients[i] // u, y of every module, in the order of the blocks
    if (!tap || !gradient) throw new Error(`${block.module} was not computed`)
    const [left, right] = block.factor === 'A' ? [gradient, tap.x] : [tap.u, gradient]
    return perExample(
      g,
      left,
      project(g, block, right),
      block,
      block.factor === 'A' ? 1 : loraScale(lora, block.module),
    )
  })
  g.output('blocks', g.concat(blocks, 1))
  g.output('nll', nll)
  return sealProgram('influence', g, config, options)
}

function project(g: Graph, { projection }: Block, x: Value): Value {
  return projection ? g.gemm(x, g.input(projection.name, 'float32', projection.dims)) : x
}

/** scale leftᵀ right for every example: [B*T, r], [B*T, k] -> [B, r * k]. */
function perExample(g: Graph, left: Value, right: Value, block: Block, scale: number): Value {
  const byExample = (x: Value, columns: Dim): Value => g.reshape(x, ['B', 'T', columns])
  const l = g.matrixTranspose(byExample(left, block.rows))
  const product = g.matMul(l, byExample(right, block.columns)) // [B, r, k]
  const scaled = scale === 1 ? product : g.mul(product, g.scalar(scale))
  return g.reshape(scaled, ['B', block.rows * block.columns])
}
