import assert from 'node:assert/strict'
import test from 'node:test'
import { AdapterPack, rankOf } from './adapter-pack.ts'
import type { Adapter } from './adapter-pack.ts'
import { loraConfig } from './models/lora.ts'
import { randomSource } from './random.ts'
import type { Feeds } from './session.ts'
import { randomAdapter, tinyConfig } from './testing.ts'

const config = tinyConfig()
const adapters = Array.from({ length: 12 }, (_, i) => {
  const targets = i % 3 === 0 ? (['self_attn.q_proj', 'mlp.down_proj'] as const) : undefined
  return randomAdapter(config, loraConfig([2, 4, 8, 16][i % 4]!, 8, targets), i)
})

/** A slot of a feed as rows [rank, width] of each of its modules. */
function slotOf(feeds: Feeds, name: string, slot: number, modules: number) {
  const { dims, data } = feeds[name]!
  const size = dims[1]! * dims[2]!
  return Array.from({ length: modules }, (_, m) =>
    data.subarray(slot * size + (m * size) / modules, slot * size + ((m + 1) * size) / modules),
  )
}

/** Every row must find in its slot what its adapter alone is packed to, and zeros beside it. */
function check(feeds: Feeds, rows: readonly (Adapter | null)[]): void {
  const names = Object.keys(feeds)
  const slots = feeds[names[0]!]!.dims[0]!
  assert.ok(slots === rows.length || (slots === 1 && new Set(rows).size === 1))
  rows.slice(0, slots).forEach((adapter, slot) => {
    const alone = adapter && new AdapterPack(config).feeds([adapter])
    for (const name of names) {
      const modules = name.split('+').length
      const expected = alone && slotOf(alone, name, 0, modules)
      slotOf(feeds, name, slot, modules).forEach((found, m) => {
        const own = expected?.[m] ?? new Float32Array()
        assert.deepEqual(found.subarray(0, own.length), own, name)
        assert.ok(found.subarray(own.length).every((x) => x === 0))
      })
    }
  })
}

test('every row finds its own adapter in its slot, whatever ranks and layers come and go', () => {
  const pack = new AdapterPack(config)
  const random = randomSource(5)
  for (let step = 0; step < 40; step++) {
    const rows = adapters.flatMap((adapter) => (random() < 0.35 ? [adapter] : []))
    const batch = [...rows, null, ...rows.slice(0, 1)].toSorted(() => random() - 0.5)
    check(pack.feeds(batch), batch)
  }
})

test('rows that share an adapter share a slot; the bare model costs one rank', () => {
  const pack = new AdapterPack(config)
  const dims = (rows: readonly (Adapter | null)[]) =>
    pack.feeds(rows)['model.layers.0.mlp.down_proj.lora_B']!.dims.slice(0, 2)
  const [wide, narrow] = [adapters[3]!, adapters[0]!]
  assert.deepEqual(dims([null, null, null]), [1, 1])
  assert.deepEqual(dims([wide, wide, wide]), [1, rankOf(config, wide)])
  assert.deepEqual(dims([wide, narrow, null]), [3, 16])
  assert.deepEqual(dims([narrow, null]), [2, 2])
})
