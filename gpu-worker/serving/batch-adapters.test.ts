import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { packAdapters, type Adapter } from '#engine/adapter-pack.ts'
import { initialAdapter, loraConfig } from '#engine/models/lora.ts'
import { gaussian, randomSource } from '#engine/random.ts'
import { loadBaseModel } from '../base-model.ts'
import { writeTinyModel } from '../testing/tiny-model.ts'
import { adapterPacks, rankOf, type BatchRow } from './batch-adapters.ts'

const scratch = await mkdtemp(join(tmpdir(), 'batch-'))
const { config } = await loadBaseModel(await writeTinyModel(scratch))
await rm(scratch, { recursive: true })

const adapters = Array.from({ length: 12 }, (_, i): Adapter => {
  const targets = i % 3 === 0 ? (['self_attn.q_proj', 'mlp.down_proj'] as const) : undefined
  const lora = loraConfig([2, 4, 8, 16][i % 4]!, 8, targets)
  const tensors = initialAdapter(config, lora, i)
  for (const { data } of tensors.values()) gaussian(randomSource(i), data, 1)
  return { lora, tensors }
})
const row = (i: number): BatchRow => ({ adapter: `0x${i}`, loaded: adapters[i]! })

/** What a row's mask selects of the stacked factors must be what its adapter alone is packed to. */
function check(packs: ReturnType<typeof adapterPacks>, rows: readonly BatchRow[]): number {
  const pack = packs.for(rows)
  const mask = packs.mask(rows, pack)
  const rank = mask.dims[1]!
  rows.forEach(({ loaded }, at) => {
    if (!loaded)
      return assert.ok(mask.data.subarray(at * rank, (at + 1) * rank).every((m) => m === 0))
    const alone = packAdapters(config, [loaded])
    const chosen = Array.from({ length: rank }, (_, r) => r).filter((r) => mask.data[at * rank + r])
    assert.equal(chosen.length, rankOf(config, loaded))
    for (const [name, { dims, data }] of Object.entries(alone.feeds)) {
      const stacked = pack.feeds[name]!
      const columns = dims[1]!
      for (let r = 0; r < dims[0]!; r++) {
        const part = Math.floor(r / alone.rank)
        const from = (part * rank + chosen[r % alone.rank]!) * columns
        assert.deepEqual(
          stacked.data.subarray(from, from + columns),
          data.subarray(r * columns, (r + 1) * columns),
          `${name} row ${r}`,
        )
      }
    }
  })
  return rank
}

test('adapters of any ranks and layers are found where the mask says, however they come and go', () => {
  const packs = adapterPacks(config)
  const random = randomSource(5)
  for (let step = 0; step < 40; step++) {
    const present = adapters.flatMap((_, i) => (random() < 0.35 ? [row(i)] : []))
    check(packs, [...present, { adapter: null, loaded: null }, ...present.slice(0, 1)])
  }
})

test('a batch of the bare base costs one rank, and a large pack shrinks when few need it', () => {
  const packs = adapterPacks(config)
  assert.equal(
    check(
      packs,
      adapters.map((_, i) => row(i)),
    ),
    96,
  )
  assert.equal(check(packs, [{ adapter: null, loaded: null }]), 1)
  assert.equal(check(packs, [row(0)]), 16)
})
