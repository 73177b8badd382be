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

test('dropping the unlikely ones early keeps exactly what sorting the whole vocabulary keeps', () => {
  const random = randomSource(9)
  for (let c = 0; c < 60; c++) {
    const size = 2 + Math.floor(random() * 200)
    const wide = Float32Array.from({ length: size }, () => (random() - 0.5) * 12 * random())
    const sampling = {
      temperature: 0.3 + random(),
      topP: random() < 0.3 ? 1 : 0.05 + 0.95 * random(),
      topK: random() < 0.5 ? 0 : 1 + Math.floor(random() * size),
    }
    const allowed = new Set(keptBySorting(wide, sampling))
    const drawn = new Set(Array.from({ length: 200 }, () => sample(wide, sampling, random)))
    for (const token of drawn) assert.ok(allowed.has(token), JSON.stringify(sampling))
    const weight = (token: number) => Math.exp(wide[token]! / sampling.temperature)
    const total = [...allowed].reduce((n, token) => n + weight(token), 0)
    for (const token of allowed)
      if (weight(token) > total / 10) assert.ok(drawn.has(token), JSON.stringify(sampling))
  }
})

/** Tokens that may be drawn, likeliest first: the definition, step by step. */
function keptBySorting(
  logits: Float32Array,
  { temperature, topP, topK }: Parameters<typeof sample>[1],
): number[] {
  const exps = Array.from(logits, (x) => Math.exp(x / temperature))
  const byWeight = exps
    .map((weight, token) => ({ weight, token }))
    .toSorted((a, b) => b.weight - a.weight || a.token - b.token)
    .slice(0, topK || exps.length)
  const total = byWeight.reduce((n, { weight }) => n + weight, 0)
  const kept: number[] = []
  let sum = 0
  for (const { weight, token } of byWeight) {
    kept.push(token)
    sum += weight
    if (topP < 1 && sum >= topP * total) break
  }
  return kept
}
