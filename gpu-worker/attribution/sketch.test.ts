import assert from 'node:assert/strict'
import test from 'node:test'
import { randomSource } from '#engine/random.ts'
import { rotate } from './rotation.ts'
import { drawSketch, placeOf, signOf } from './sketch.ts'

const random = randomSource(17)
const vector = (n: number) => Float64Array.from({ length: n }, () => random() - 0.5)
const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)

test('places and signs are those of sha512', () => {
  // Python: struct.unpack('<4i', hashlib.sha512(b'seed|0').digest()[:16])
  const words = [309211121, -966410585, -1484068001, 1105842290]
  const sketch = drawSketch('seed', 20, 1000)
  words.forEach((word, i) => {
    assert.equal(signOf(sketch[i]!), word < 0 ? -1 : 1)
    assert.equal(placeOf(sketch[i]!), (word & 0x7fffffff) % 1000)
  })
  assert.ok(sketch.every((entry) => placeOf(entry) >= 0 && placeOf(entry) < 1000))
  assert.notDeepEqual(sketch.slice(0, 4), sketch.slice(16))
})

test('a rotation keeps dot products, at any length', () => {
  for (const n of [1, 2, 3, 31, 32, 48, 768]) {
    const signs = Int8Array.from(drawSketch('signs', n, 1), signOf)
    const [a, b] = [vector(n), vector(n)]
    const before = [dot(a, a), dot(a, b), dot(b, b)]
    rotate(a, signs)
    rotate(b, signs)
    const after = [dot(a, a), dot(a, b), dot(b, b)]
    after.forEach((value, i) => assert.ok(Math.abs(value - before[i]!) < 1e-12 * n, `${n}`))
  }
})

test('a rotation spreads what stands in one place', () => {
  const n = 768
  const signs = Int8Array.from(drawSketch('signs', n, 1), signOf)
  for (const place of [0, 100, 255, 256, 511, 512, 767]) {
    const unit = new Float64Array(n)
    unit[place] = 1
    rotate(unit, signs)
    const largest = unit.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
    assert.ok(largest < 6 / Math.sqrt(n), `${place}: ${largest}`)
  }
})
