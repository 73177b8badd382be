import assert from 'node:assert/strict'
import test from 'node:test'
import { encodeAbiParameters, hashStruct, hashTypedData } from 'viem'
import { keccak, toHex, type Hex } from './bytes.ts'
import { RECEIPT_TYPES, receiptHash, receiptTypedData, type Receipt } from './receipt.ts'
import { encodeWords, structHash } from './typed-data.ts'

const address: Hex = `0x${'a5'.repeat(20)}`
const hash = keccak('x')

test('words are those of abi.encode at every border of their types', () => {
  const values: [string, unknown][] = [
    ['bytes32', hash],
    ['address', address],
    ['bool', true],
    ['bool', false],
    ['uint32', 0],
    ['uint32', 0xffff_ffff],
    ['uint64', 2n ** 64n - 1n],
    ['uint256', 2n ** 256n - 1n],
    ['uint256', 2n ** 64n],
    ['int16', -1],
    ['int16', -0x8000],
    ['int64', 2n ** 63n - 1n],
    ['int64', -(2n ** 63n)],
  ]
  const types = values.map(([type]) => type)
  const given = values.map(([, value]) => value)
  assert.equal(
    toHex(encodeWords(types, given)),
    encodeAbiParameters(
      types.map((type) => ({ type })),
      given,
    ),
  )
})

test('what does not fit its type is refused', () => {
  const misfits: [string, unknown][] = [
    ['uint32', 2 ** 32],
    ['uint64', -1n],
    ['uint256', 2n ** 256n],
    ['int16', 0x8000],
    ['int64', 2n ** 63n],
    ['address', hash],
    ['bytes32', address],
    ['string', 'text'],
  ]
  for (const [type, value] of misfits)
    assert.throws(() => encodeWords([type], [value]), RangeError, type)
})

/** Receipts of every length of their lists. */
function receipt(n: number): Receipt {
  const row = (i: number) => ({
    cluster: keccak(`cluster ${i}`),
    record: keccak(`record ${i}`),
    contributor: address,
    influence: BigInt(-i),
    significance: BigInt(i) * 1_000n,
    text: BigInt(i),
    spans: Array.from({ length: i % 3 }, (_, j) => ({ outputStart: j, recordStart: i, length: 7 })),
    amount: 10n ** 18n + BigInt(i),
  })
  const items = Array.from({ length: n }, (_, i) => i)
  return {
    requestId: hash,
    payer: address,
    base: hash,
    adapter: hash,
    indexRoot: hash,
    datanets: items.map((i) => keccak(`version ${i}`)),
    paramsHash: hash,
    methodVersion: 1,
    promptHash: hash,
    outputHash: hash,
    outputRoot: hash,
    outputTokens: 0xffff_ffff,
    queryHash: hash,
    promptTokens: 0,
    completionTokens: n,
    fee: 2n ** 96n,
    platform: 1n,
    model: 2n,
    stakers: 3n,
    retrieval: 4n,
    modelOwner: address,
    covered: 5n,
    total: 2n ** 64n - 1n,
    floor: -(2n ** 63n),
    rows: items.map(row),
    unattributed: 0n,
    citations: items.map((i) => ({
      cluster: hash,
      record: keccak(`cited ${i}`),
      contributor: address,
      datanet: hash,
      amount: BigInt(i),
    })),
    stored: n % 2 === 0,
    worker: address,
    time: 1_790_000_000n,
  }
}

test('receipts and rows hash as viem hashes them', () => {
  const domain = { chainId: 901612, settlement: address }
  for (const n of [0, 1, 7, 8, 9, 17]) {
    const made = receipt(n)
    assert.equal(receiptHash(made, domain), hashTypedData(receiptTypedData(made, domain)))
    for (const row of made.rows)
      assert.equal(
        toHex(structHash(RECEIPT_TYPES, 'Row', row)),
        hashStruct({ data: row, primaryType: 'Row', types: RECEIPT_TYPES }),
      )
  }
})
