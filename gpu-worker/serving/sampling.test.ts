import assert from 'node:assert/strict'
import test from 'node:test'
import { randomSource } from '#engine/random.ts'
import { argmax, sample } from './sampling.ts'

const probabilities = [0.5, 0.25, 0.15, 0.1]
const logits = Float32Array.from(probabilities, (p) => Math.log(p) + 3)
const frequencies = (sampling: Parameters<typeof sample>[1], draws = 20_000) => {
  const random = randomSource(1)
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < draws; i++) counts[sample(logits, sampling, random)]! += 1 / draws
  return counts
}
const near = (found: number[], expected: number[]) =>
  found.forEach((f, i) => assert.ok(Math.abs(f - expected[i]!) < 0.015, `${found}`))

test('temperature 0 takes the likeliest token, the first of equals', () => {
  assert.equal(
    sample(logits, { temperature: 0, topP: 1, topK: 0 }, () => 0.99),
    0,
  )
  assert.equal(argmax(Float32Array.of(1, 7, 7)), 1)
})

test('temperature 1 draws by probability, others by its power', () => {
  near(frequencies({ temperature: 1, topP: 1, topK: 0 }), probabilities)
  const squared = probabilities.map((p) => p * p)
  const sum = squared.reduce((a, b) => a + b)
  near(
    frequencies({ temperature: 0.5, topP: 1, topK: 0 }),
    squared.map((p) => p / sum),
  )
})

test('top-k and top-p keep the likeliest tokens and renormalise', () => {
  near(frequencies({ temperature: 1, topP: 1, topK: 2 }), [2 / 3, 1 / 3, 0, 0])
  near(frequencies({ temperature: 1, topP: 0.7, topK: 0 }), [2 / 3, 1 / 3, 0, 0])
  near(frequencies({ temperature: 1, topP: 0.01, topK: 0 }), [1, 0, 0, 0])
})

test('extreme logits and excluded tokens are handled', () => {
  const extreme = Float32Array.of(Number.NEGATIVE_INFINITY, 3e38, -3e38)
  for (const draw of [0, 0.5, 0.999999])
    assert.equal(
      sample(extreme, { temperature: 0.01, topP: 1, topK: 0 }, () => draw),
      1,
    )
})

test('equal seeds draw equal tokens', () => {
  assert.deepEqual(drawMany(5), drawMany(5))
  assert.notDeepEqual(drawMany(5), drawMany(6))
})

function drawMany(seed: number): number[] {
  const random = randomSource(seed)
  return Array.from({ length: 50 }, () =>
    sample(logits, { temperature: 1, topP: 1, topK: 0 }, random),
  )
}
