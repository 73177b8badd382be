// The embedding program: the mean of the bare base model's last hidden states over the tokens of each sequence.
import { Tape } from '../autodiff/tape.ts'
import type { LlamaConfig } from '../models/config.ts'
import { Graph } from '../onnx/graph.ts'
import { frozenModel } from './base.ts'
import { sealProgram } from './program.ts'
import type { Program } from './program.ts'
import { sequenceHidden, withoutAdapter } from './sequence.ts'

/**
 * Compiles `embed`. Inputs: tokens, segments, positions int32 [B, T], and `pool` float32 [B, 1, T], each token's weight
 * in its sequence's mean. Output: `embeddings` [B, 1, hidden].
 */
export function embedProgram(config: LlamaConfig): Program {
  const g = new Graph('embed')
  const tape = new Tape(g)
  const hidden = sequenceHidden(tape, config, {
    ...frozenModel(tape, config, 'f32'),
    adapt: withoutAdapter,
  })
  const pool = g.input('pool', 'float32', ['B', 1, 'T'])
  g.output('embeddings', g.matMul(pool, g.reshape(hidden, ['B', 'T', config.hidden])))
  return sealProgram('embed', g, config, {})
}
