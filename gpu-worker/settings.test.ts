import assert from 'node:assert/strict'
import test from 'node:test'
import { parseSettings } from './settings.ts'

const address = `0x${'AB'.repeat(20)}`
const complete = {
  EDGE_URL: 'http://127.0.0.1:8787/',
  WORKER_TOKEN: 'a-token-that-is-long-enough',
  WORKER_KEY: `0x${'01'.repeat(32)}`,
  WORKER_URL: 'http://127.0.0.1:8790',
  RPC_URL: 'http://127.0.0.1:8545',
  CHAIN_ID: '901612',
  CONTRACTS: JSON.stringify({
    parameters: address,
    modelRegistry: address,
    attributionSettlement: address,
    inferenceVault: address,
  }),
  STATE_DIR: '/tmp/state',
}

test('a complete environment gives settings with defaults, URLs without a slash, lower-case addresses', () => {
  const settings = parseSettings({ ...complete, THREADS: '' })
  assert.equal(settings.EDGE_URL, 'http://127.0.0.1:8787')
  assert.equal(settings.CONTRACTS.modelRegistry, address.toLowerCase())
  const { PORT, DEVICE, BASE_FORMAT, PINNED_ADAPTERS } = settings
  assert.deepEqual([PORT, DEVICE, BASE_FORMAT], [8790, 'auto', 'f32'])
  assert.deepEqual(PINNED_ADAPTERS, [])
  const digest = `0x${'ab'.repeat(32)}`
  const pinned = parseSettings({ ...complete, PINNED_ADAPTERS: `${digest}, ${digest}` })
  assert.deepEqual(pinned.PINNED_ADAPTERS, [digest, digest])
  assert.ok(settings.THREADS >= 1)
  assert.match(settings.MODEL_DIR, /models\/openledger-5m$/)
})

test('every fault is named, and no value is repeated', () => {
  const wrong = {
    ...complete,
    EDGE_URL: 'ftp://example.com',
    WORKER_KEY: 'secret-but-not-a-key',
    CONTRACTS: '{"parameters": "0x12"}',
    DEVICE: 'tpu',
    BASE_FORMAT: 'int3',
    PINNED_ADAPTERS: `0x${'ab'.repeat(32)},0xcd`,
    RPC_URL: undefined,
  }
  assert.throws(
    () => parseSettings(wrong),
    ({ message }: Error) => {
      for (const fault of [
        /EDGE_URL: expected an http/,
        /WORKER_KEY: expected 0x and 64 hex digits/,
        /RPC_URL is not set/,
        /CONTRACTS\.parameters: expected 0x and 40/,
        /CONTRACTS\.modelRegistry/,
        /DEVICE/,
        /BASE_FORMAT: .*int4/,
        /PINNED_ADAPTERS\.1: expected 0x and 64/,
      ])
        assert.match(message, fault)
      assert.doesNotMatch(message, /secret-but-not-a-key/)
      return true
    },
  )
  assert.throws(() => parseSettings({ ...complete, CONTRACTS: '{' }), /CONTRACTS: expected JSON/)
})
