// The influence program: per-example LoRA gradients from one batched backward pass. For a module with h = A x, scale
// s = alpha / r and delta = dL/dy, per example
//
//   gA = s Σ_t (Bᵀ delta_t) x_tᵀ    [r, in]        gB = s Σ_t h_t delta_tᵀ    [r, out]
//
// One example per row of the batch; padding has no target and contributes zero.
import { Graph } from '../onnx/graph.ts'
import type { Dim } from '../onnx/dims.ts'
import type { Value } from '../onnx/graph.ts'
import { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import { adapterDims, loraRank, loraScale } from '../models/lora.ts'
import type { LoraConfig } from '../models/lora.ts'
import { modulesOf } from '../models/parameters.ts'
import type { WeightFormat } from '../quant.ts'
import { frozenModel, type WeightPlace } from './base.ts'
import { sealProgram } from './program.ts'
import type { Program } from './program.ts'
import { adaptWith, declareInputs, sequenceLoss } from './sequence.ts'
import type { Tap } from './sequence.ts'

export type InfluenceOptions = {
  readonly lora: LoraConfig
  /** Format of the base's matrices; float32 when absent. */
  readonly format?: WeightFormat
  /** Where the base lies; attached when absent. */
  readonly place?: WeightPlace
}

/** The gradient of one factor inside a row of `gradients`: `rows` times `columns` numbers, starting at `offset`. */
export type Block = {
  readonly module: string
  readonly factor: 'A' | 'B'
  readonly offset: number
  readonly rows: number
  readonly columns: number
}

/** Where each module's gA and gB lie in a row of `gradients`, in the order of the row. */
export function influenceBlocks(config: LlamaConfig, lora: LoraConfig): readonly Block[] {
  let offset = 0
  return modulesOf(config, lora.targets).flatMap(({ name, inDim, outDim }) =>
    (
      [
        ['A', inDim],
        ['B', outDim],
      ] as const
    ).map(([factor, columns]): Block => {
      const rows = loraRank(lora, name)
      const block = { module: name, factor, offset, rows, columns }
      offset += rows * columns
      return block
    }),
  )
}

/** Length of a row of `gradients`. */
export const gradientSize = (blocks: readonly Block[]): number =>
  blocks.reduce((sum, { rows, columns }) => sum + rows * columns, 0)

/**
 * Compiles `influence`. Inputs: those of `train` for a LoRA config (the weights should make each example's loss its own
 * mean). Outputs: `gradients` [B, size], laid out as `influenceBlocks` says, and `nll` [M, 1].
 */
export function influenceProgram(
  config: LlamaConfig,
  { lora, format = 'f32', place = 'attached' }: InfluenceOptions,
): Program {
  const g = new Graph('influence')
  const tape = new Tape(g)
  const taps = new Map<string, Tap>()
  const adapter = declareInputs(g, adapterDims(config, lora))
  const { loss, nll } = sequenceLoss(tape, config, {
    ...frozenModel(tape, config, format, { place }),
    adapt: adaptWith(tape, lora, adapter, { onTap: (module, tap) => taps.set(module, tap) }),
  })

  const tapped = [...taps.values()]
  const gradients = tape.gradients(
    loss,
    tapped.flatMap(({ u, y }) => [u, y]),
  )
  const blocks = influenceBlocks(config, lora).map((block, i) => {
    const tap = taps.get(block.module)
    const gradient = gradients[i] // u, y of every module, in the order of the blocks
    if (!tap || !gradient) throw new Error(`${block.module} was not computed`)
    const [left, right] = block.factor === 'A' ? [gradient, tap.x] : [tap.u, gradient]
    return perExample(
      g,
      left,
      right,
      block,
      block.factor === 'A' ? 1 : loraScale(lora, block.module),
    )
  })
  g.output('gradients', g.concat(blocks, 1))
  g.output('nll', nll)
  return sealProgram('influence', g, config, { lora, format, place })
}

/** scale leftᵀ right for every example: [B*T, r], [B*T, d] -> [B, r * d]. */
function perExample(g: Graph, left: Value, right: Value, block: Block, scale: number): Value {
  const byExample = (x: Value, columns: Dim): Value => g.reshape(x, ['B', 'T', columns])
  const l = g.matrixTranspose(byExample(left, block.rows))
  const product = g.matMul(l, byExample(right, block.columns)) // [B, r, d]
  const scaled = scale === 1 ? product : g.mul(product, g.scalar(scale))
  return g.reshape(scaled, ['B', block.rows * block.columns])
}
