import assert from 'node:assert/strict'
import test from 'node:test'
import { CONFORMANCE_TOLERANCE, checkConformance, disagreements } from './conformance.ts'
import { chooseProvider } from './providers.ts'

const tensor = (...data: number[]) => ({ dims: [data.length], data: Float32Array.from(data) })

test('an output that is zero, not finite, short or absent disagrees', () => {
  const reference = new Map([['gradient/w', tensor(1, 2)]])
  const names = (candidate: Map<string, ReturnType<typeof tensor>>) =>
    disagreements('train', reference, candidate).map(({ output }) => output)
  assert.deepEqual(names(new Map([['gradient/w', tensor(1, 2 + CONFORMANCE_TOLERANCE)]])), [])
  for (const wrong of [tensor(0, 0), tensor(1, Number.NaN), tensor(1), tensor(1.1, 2)]) {
    assert.deepEqual(names(new Map([['gradient/w', wrong]])), ['gradient/w'])
  }
  assert.deepEqual(names(new Map()), ['gradient/w'])
})

test('the CPU provider conforms with itself', async () => {
  assert.deepEqual(await checkConformance('cpu'), [])
  assert.deepEqual(await checkConformance('cpu', 'int4'), [])
})

test('without a faster provider the choice is CPU, and the report says why', async () => {
  assert.deepEqual(await chooseProvider('f32', []), { provider: 'cpu', report: ['cpu: chosen'] })
})

test('the choice conforms and every provider that was tried is reported', async () => {
  const { provider, report } = await chooseProvider('f32')
  assert.match(report.at(-1) ?? '', new RegExp(`^${provider}: .*chosen$`))
  for (const line of report.slice(0, -1))
    assert.match(line, /^(cuda|webgpu): (not available|refused)/)
})
