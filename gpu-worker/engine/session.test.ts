import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import test from 'node:test'
import { scratchFolder } from '../../test/support/scratch.ts'
import { packBatch } from './batch.ts'
import { loraConfig } from './models/lora.ts'
import { initialParameters } from './models/parameters.ts'
import { Graph } from './onnx/graph.ts'
import { sealProgram } from './programs/program.ts'
import { evaluateProgram, trainProgram } from './programs/train.ts'
import { openSession } from './session.ts'
import { randomTokens, tinyConfig } from './testing.ts'

const MEGABYTE = 1 << 20
const peakBytes = () => process.resourceUsage().maxRSS * 1024

// Split-KV decoding and parameters as inputs rest on this property of onnxruntime-node 1.30.0. First in this file,
// because a peak can only rise.
test('a 256 MB input is read in place', async () => {
  const g = new Graph('evaluate')
  const table = g.input('table', 'float32', ['R', 1024])
  const row = g.gather(table, g.input('row', 'int32', ['N']))
  g.output('row_out', row)
  const session = await openSession(sealProgram('evaluate', g, {}, {}))
  const run = (data: Float32Array) =>
    session.run({
      table: { dims: [data.length / 1024, 1024], data },
      row: { dims: [1], data: Int32Array.of(3) },
    })
  const large = new Float32Array((256 * MEGABYTE) / 4).fill(1.5)
  await run(large.subarray(0, 8 * 1024))
  const before = peakBytes()
  const outputs = await run(large)
  const grown = peakBytes() - before
  assert.equal(outputs.get('row_out')!.data[0], 1.5)
  assert.ok(grown < 64 * MEGABYTE, `the run raised the peak by ${grown / MEGABYTE} MB`)

  const copy = large.slice() // the measure would have seen a copy
  assert.ok(peakBytes() - before > 192 * MEGABYTE)
  assert.equal(copy.length, large.length)
  await session.release()
})

const config = tinyConfig()
const parameters = initialParameters(config, 1)
const { feeds } = packBatch([{ tokens: randomTokens(6, 1) }], 8)

test('a missing, unknown, misshapen or mistyped feed is refused by name', async () => {
  const session = await openSession(evaluateProgram(config), parameters)
  const { tokens, ...rest } = feeds
  await assert.rejects(session.run(rest), /evaluate needs the input "tokens"/)
  await assert.rejects(session.run({ ...feeds, extra: tokens! }), /no input "extra"/)
  const short = { dims: [1, 7], data: new Int32Array(7) }
  await assert.rejects(
    session.run({ ...feeds, positions: short }),
    /"positions" has dims \[1,7\], expected \[B,T\] with B=1 T=8/,
  )
  const floats = { dims: [1, 8], data: new Float32Array(8) }
  await assert.rejects(session.run({ ...feeds, tokens: floats }), /"tokens" must be int32/)
  await session.release()
})

test('a missing or misshapen parameter is refused by name', async () => {
  const program = evaluateProgram(config)
  await assert.rejects(openSession(program), /"model.embed_tokens.weight" is missing/)
  const wrong = new Map([
    ...parameters,
    ['model.norm.weight', { dims: [1], data: new Float32Array(1) }],
  ])
  await assert.rejects(
    openSession(program, wrong),
    /model.norm.weight has dims \[1\], expected \[24\]/,
  )
})

test('parameters are copied when a session opens', async () => {
  const own = initialParameters(config, 2)
  const session = await openSession(evaluateProgram(config), own)
  const before = (await session.run(feeds)).get('loss')!.data[0]
  for (const { data } of own.values()) data.fill(0)
  assert.equal((await session.run(feeds)).get('loss')!.data[0], before)
  await session.release()
})

test('a program is the same bytes and key every time, and another for other options', () => {
  const lora = loraConfig(4)
  const [a, b] = [trainProgram(config, lora), trainProgram(tinyConfig(), loraConfig(4))]
  assert.equal(a.key, b.key)
  assert.ok(Buffer.from(a.model).equals(b.model))
  const others = [
    trainProgram(config, 'parameters'),
    trainProgram(config, loraConfig(5)),
    trainProgram(config, loraConfig(4, 4)),
    trainProgram(tinyConfig({ rms_norm_eps: 1e-6 }), lora),
    evaluateProgram(config, lora),
  ]
  assert.equal(new Set([a, ...others].map(({ key }) => key)).size, others.length + 1)
})

const module = (name: string) => JSON.stringify(import.meta.resolve(name))

test('the runtime keeps no log and no identifier for its maker', () => {
  const home = scratchFolder()
  const script = `
    import { Graph } from ${module('./onnx/graph.ts')}
    import { sealProgram } from ${module('./programs/program.ts')}
    import { openSession } from ${module('./session.ts')}
    const g = new Graph('evaluate')
    const x = g.input('x', 'float32', ['N'])
    g.output('sum', g.add(x, x))
    const session = await openSession(sealProgram('evaluate', g, {}, {}))
    const found = await session.run({ x: { dims: [1], data: Float32Array.of(2) } })
    console.log(found.get('sum').data[0])`
  // Without CI, under which it is silent anyway.
  const env = { PATH: process.env['PATH'], HOME: home, TMPDIR: home }
  const args = ['--input-type=module', '--eval', script]
  assert.equal(execFileSync(process.execPath, args, { env, encoding: 'utf8' }), '4\n')
  assert.deepEqual(readdirSync(home), [])
})
