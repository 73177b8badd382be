import assert from 'node:assert/strict'
import test from 'node:test'
import { WEIGHT_FORMATS } from '#engine/quant.ts'
import { tinyConfig } from '#engine/testing.ts'
import { servingMemory } from './base-memory.ts'

// The layers of SmolLM2-135M with a vocabulary of 4,096: 109 M parameters.
const config = tinyConfig({
  hidden_size: 576,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  head_dim: 64,
  intermediate_size: 1536,
  vocab_size: 4096,
})
const MEASURED_MIB = { f32: 2108, int8: 1188, int4: 1012 }

test('the estimate is what was measured, within a tenth, and fewer bits take less', () => {
  for (const format of WEIGHT_FORMATS) {
    const { bytes, withBare } = servingMemory(config, format, 2 ** 36)
    const ratio = bytes / 2 ** 20 / MEASURED_MIB[format]
    assert.ok(withBare && ratio > 0.9 && ratio < 1.1, `${format}: ${ratio}`)
  }
})

test('a base that is large for the machine does without the program for rows without adapters', () => {
  const roomy = servingMemory(config, 'f32', 2 ** 36)
  const tight = servingMemory(config, 'f32', 2 ** 32)
  assert.equal(tight.withBare, false)
  assert.ok(tight.bytes < roomy.bytes)
})

test('a base whose layers do not fill blocks is refused by the name of the format', () => {
  assert.throws(
    () => servingMemory(tinyConfig(), 'int4', 2 ** 36),
    /cannot be served in int4: .*24/,
  )
})
