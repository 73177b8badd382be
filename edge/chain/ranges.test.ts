import assert from 'node:assert/strict'
import test from 'node:test'
import { HttpRequestError, RpcRequestError } from 'viem'
import { readLogs } from './ranges.ts'

const tooLarge = new RpcRequestError({
  body: {},
  url: 'http://node',
  error: { code: -32005, message: 'too many blocks' },
})

/** A node that has one log per block and serves `limit` blocks at a time. */
function node(limit: bigint) {
  const asked: bigint[] = []
  const read = async ({ fromBlock, toBlock }: { fromBlock: bigint; toBlock: bigint }) => {
    const blocks = toBlock - fromBlock + 1n
    asked.push(blocks)
    if (blocks > limit) throw tooLarge
    return Array.from({ length: Number(blocks) }, (_, i) => fromBlock + BigInt(i))
  }
  return { asked, read }
}

test('every block is read once and in order, whatever a node allows at a time', async () => {
  const all = Array.from({ length: 1_000 }, (_, i) => BigInt(i) + 7n)
  for (const limit of [1n, 3n, 100n, 1_000n]) {
    const { read } = node(limit)
    assert.deepEqual(await readLogs({ fromBlock: 7n, toBlock: 1_006n }, read), all)
  }
  const { asked, read } = node(1_000n)
  await readLogs({ fromBlock: 7n, toBlock: 1_006n }, read)
  assert.deepEqual(asked, [1_000n], 'a node that allows all is asked once')
  assert.deepEqual(await readLogs({ fromBlock: 8n, toBlock: 7n }, read), [])
})

test('a refused block and a node that does not answer are errors', async () => {
  await assert.rejects(readLogs({ fromBlock: 1n, toBlock: 64n }, node(0n).read), RpcRequestError)
  let calls = 0
  const away = async (): Promise<never[]> => {
    calls++
    throw new HttpRequestError({ url: 'http://node', status: 502 })
  }
  await assert.rejects(readLogs({ fromBlock: 1n, toBlock: 64n }, away), HttpRequestError)
  assert.equal(calls, 1, 'asking for less would not help')
})
