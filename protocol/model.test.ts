import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak } from './bytes.ts'
import { adapterDigest, parseModelName } from './model.ts'

test('model names parse into base, adapter and digest', () => {
  const digest = keccak('x')
  assert.deepEqual(parseModelName('openledger-5m'), { base: 'openledger-5m' })
  assert.deepEqual(parseModelName(`openledger-5m:alice/law@sha256-${digest.slice(2)}`), {
    base: 'openledger-5m',
    adapter: 'alice/law',
    digest,
  })
  for (const bad of ['', 'A', 'base:', 'base:alice', 'base:../x', 'base@sha256-12', 'base:a/b/c'])
    assert.equal(parseModelName(bad), null, bad)
})

test('an adapter digest depends on its weights, configuration and base', () => {
  const files = { weights: keccak('w'), config: keccak('c'), base: keccak('b') }
  const digests = [files, { ...files, weights: keccak('x') }, { ...files, base: keccak('x') }].map(
    adapterDigest,
  )
  assert.equal(new Set(digests).size, 3)
})
