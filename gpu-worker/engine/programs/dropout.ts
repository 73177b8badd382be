// Dropout on an adapter's input (Srivastava et al. 2014; Hu et al. 2021, appendix D): every feature of every token is
// hidden with probability p and the rest divided by 1 - p. The numbers come from the host, so that a step can be
// repeated to the bit: one table of kept or hidden per input width, of which module i reads the rows from i on. Within a
// module all entries are independent; another module sees the same ones shifted by some tokens.
import { mul } from '../autodiff/ops.ts'
import type { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import type { LoraConfig } from '../models/lora.ts'
import { modulesOf } from '../models/parameters.ts'
import type { Value } from '../onnx/graph.ts'
import { randomSource } from '../random.ts'
import type { Feed, Feeds } from '../session.ts'
import type { AdaptOptions } from './sequence.ts'

/** Names one draw of random numbers: a run's seed and the step, or micro-step, within it. */
export type Draw = { readonly seed: number; readonly step: number }

const tableName = (width: number): string => `dropout/${width}`

const widthsOf = (config: LlamaConfig, lora: LoraConfig): ReadonlySet<number> =>
  new Set(modulesOf(config, lora.targets).map(({ inDim }) => inDim))

/** Hides features of [B*T, in] by the tables; nothing when the adapter has no dropout. */
export function dropout(tape: Tape, config: LlamaConfig, lora: LoraConfig): AdaptOptions['hide'] {
  if (!lora.dropout) return undefined
  const g = tape.graph
  const tables = new Map(
    [...widthsOf(config, lora)].map((width) => [
      width,
      g.input(tableName(width), 'float32', ['dropout', width]),
    ]),
  )
  const places = new Map(modulesOf(config, lora.targets).map(({ name }, place) => [name, place]))
  return (module: string, x: Value): Value => {
    const [rows = 1, width = 1] = x.dims
    const table = tables.get(Number(width))
    const start = places.get(module)
    if (!table || start === undefined) throw new Error(`${module} has no dropout table`)
    const end = g.add(g.sizeOf(String(rows)), g.int64([start]))
    return mul(tape, x, g.slice(table, 0, start, end, rows))
  }
}

/** The tables of one draw for a batch of `rows` = B*T tokens. */
export function dropoutFeeds(
  config: LlamaConfig,
  lora: LoraConfig,
  rows: number,
  { seed, step }: Draw,
): Feeds {
  const { dropout: probability = 0 } = lora
  if (probability === 0) return {}
  const tableRows = rows + modulesOf(config, lora.targets).length
  const random = randomSource(Math.imul(seed, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca77))
  const kept = 1 / (1 - probability)
  return Object.fromEntries(
    [...widthsOf(config, lora)].map((width): [string, Feed] => {
      const data = new Float32Array(tableRows * width)
      for (let i = 0; i < data.length; i++) data[i] = random() < probability ? 0 : kept
      return [tableName(width), { dims: [tableRows, width], data }]
    }),
  )
}
