import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import type { HostTensor } from './tensor.ts'
import { readSafetensors, safetensorsOf, toBfloat16, writeSafetensors } from './safetensors.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const values = Float32Array.of(0, -0, 1, -1.5, 2.7182e3, 1e-3, 65504, 1e30)
const tensors = new Map([
  ['a', { dims: [2, 4], data: values }],
  ['b', { dims: [3], data: Float32Array.of(1, 2, 3) }],
])

const word = (bits: number) => new Float32Array(Uint32Array.of(bits).buffer)[0]!

test('float32 tensors survive a round trip bit by bit', () => {
  const read = readSafetensors(writeSafetensors(tensors))
  for (const [name, { dims, data }] of tensors) {
    assert.deepEqual([...read.get(name)!.dims], dims)
    assert.ok(Buffer.from(read.get(name)!.data.buffer).equals(Buffer.from(data.buffer)))
  }
  assert.equal(read.size, tensors.size)
})

test('bfloat16 keeps eight bits of precision and the range of float32', () => {
  const read = readSafetensors(writeSafetensors(tensors, 'BF16')).get('a')!
  read.data.forEach((x, i) => assert.ok(Math.abs(x - values[i]!) <= Math.abs(values[i]!) / 256))
})

test('float16 keeps eleven bits of precision', () => {
  const small = new Map([['a', { dims: [7], data: values.slice(0, 7) }]])
  const read = readSafetensors(writeSafetensors(small, 'F16')).get('a')!
  read.data.forEach((x, i) => assert.ok(Math.abs(x - values[i]!) <= Math.abs(values[i]!) / 2048))
})

test('bfloat16 rounds ties to even and keeps NaN and infinity', () => {
  const input = Float32Array.of(
    word(0x3f808000), // tie, even below
    word(0x3f818000), // tie, odd below
    word(0x3f808001), // just above a tie
    Infinity,
    NaN,
  )
  const rounded = [...toBfloat16(input)]
  assert.deepEqual(rounded.slice(0, 4), [0x3f80, 0x3f82, 0x3f81, 0x7f80])
  assert.ok(((rounded[4] ?? 0) & 0x7fff) > 0x7f80)
})

test('a malformed file is refused with the reason', () => {
  const file = writeSafetensors(tensors)
  assert.throws(() => readSafetensors(file.subarray(0, 4)), /no header/)
  assert.throws(() => readSafetensors(file.subarray(0, 40)), /does not fit/)
  assert.throws(() => readSafetensors(file.subarray(0, file.length - 1)), /"b" has wrong offsets/)
  const other = Buffer.from(Buffer.from(file).toString('latin1').replace('F32', 'I32'), 'latin1')
  assert.throws(() => readSafetensors(other), /unsupported type/)
  const twice = Buffer.from(
    Buffer.from(file).toString('latin1').replace('[32,44]', '[16,28]'),
    'latin1',
  )
  assert.throws(() => readSafetensors(twice), /"b" overlaps/)
})

test('what torch.save writes is refused for what it is', () => {
  const zip = Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(60)])
  const legacy = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex')
  for (const file of [zip, legacy]) assert.throws(() => readSafetensors(file), /PyTorch pickle/)
})

const withFiller = (chars: number) =>
  writeSafetensors(tensors, 'F32', { filler: '-'.repeat(chars) })
const headerLength = (file: Uint8Array) => Buffer.from(file).readUInt32LE()

test('a header may have any length, also one whose bytes look like the beginning of another format', () => {
  const without = headerLength(withFiller(0))
  for (const length of [0x0280, 0x0580, 0x4b50]) {
    const file = withFiller(length - without)
    assert.equal(headerLength(file), length)
    assert.deepEqual([...readSafetensors(file).keys()], ['a', 'b'])
  }
})

async function tensorsIn(path: string) {
  const tensors = new Map<string, HostTensor>()
  for await (const [name, tensor] of safetensorsOf(path)) tensors.set(name, tensor)
  return tensors
}

test('a file read from disk tensor by tensor is the one read from memory', async () => {
  const path = join(scratchFolder(), 'model.safetensors')
  for (const dtype of ['F32', 'F16', 'BF16'] as const) {
    const file = writeSafetensors(tensors, dtype)
    await writeFile(path, file)
    assert.deepEqual(await tensorsIn(path), readSafetensors(file))
  }
  await writeFile(path, writeSafetensors(tensors).subarray(0, -1))
  await assert.rejects(tensorsIn(path), /"b" has wrong offsets/)
  await writeFile(path, '')
  await assert.rejects(tensorsIn(path), /no header/)
})
