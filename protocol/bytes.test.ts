import assert from 'node:assert/strict'
import test from 'node:test'
import { canonicalJson, concatBytes, fromHex, keccak, sha256Hex, toHex } from './bytes.ts'

test('canonical JSON equals the examples of RFC 8785', () => {
  const value = JSON.parse(
    '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
  )
  assert.equal(
    canonicalJson(value),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  )
  // Section 3.2.3: keys sort by UTF-16 code unit, so the emoji (a surrogate pair) comes before U+FB33.
  assert.equal(
    canonicalJson({
      '\u20ac': 1,
      '\r': 2,
      '\ufb33': 3,
      '1': 4,
      '\u{1f600}': 5,
      '\u0080': 6,
      '\u00f6': 7,
    }),
    '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\u{1f600}":5,"\ufb33":3}',
  )
})

test('canonical JSON drops undefined members and refuses what JSON cannot carry', () => {
  assert.equal(canonicalJson({ b: undefined, a: [undefined] }), '{"a":[null]}')
  assert.throws(() => canonicalJson(Number.NaN), /non-finite/)
  assert.throws(() => canonicalJson(1n), /bigint/)
  assert.throws(() => canonicalJson('\ud800'), /lone surrogate/)
})

test('hashes equal the published vectors', () => {
  assert.equal(
    sha256Hex('abc'),
    '0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  )
  assert.equal(keccak(''), '0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470')
})

test('hex round-trips and malformed hex throws', () => {
  const bytes = concatBytes(Uint8Array.of(0, 1), Uint8Array.of(254, 255))
  assert.equal(toHex(bytes), '0x0001feff')
  assert.deepEqual(fromHex('0x0001feff'), bytes)
  assert.throws(() => fromHex('0x0g'))
  assert.throws(() => fromHex('0x123'))
})
