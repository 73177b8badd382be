import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { AdapterPack } from '#engine/adapter-pack.ts'
import { padBatch } from '#engine/batch.ts'
import { KvCache } from '#engine/kv-cache.ts'
import { initialAdapter, loraConfig } from '#engine/models/lora.ts'
import { prefillProgram } from '#engine/programs/generate.ts'
import { gaussian, randomSource } from '#engine/random.ts'
import { openSession } from '#engine/session.ts'
import { loadBaseModel } from '../base-model.ts'
import { writeTinyModel } from '../testing/tiny-model.ts'
import { exportPeft, importPeft } from './peft.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const GOLDEN = new URL('../../test/golden/peft/', import.meta.url)
/** An interpreter with torch, transformers and peft. */
const PYTHON = process.env['OPENLEDGER_PYTHON']
const TOKENS = [1, 45, 386, 84, 226, 1659, 7, 300, 2]

type Logits = { first: number[][]; norms: number[] }

const scratch = scratchFolder()
const modelDirectory = await writeTinyModel(scratch)
const adapterDirectory = join(scratch, 'adapter')
const base = await loadBaseModel(modelDirectory)

/** Writes an adapter that changes every layer, and answers our logits with the adapter read back from the files. */
async function exportedLogits(): Promise<Logits> {
  const lora = loraConfig(5, 7)
  const tensors = initialAdapter(base.config, lora, 1)
  const random = randomSource(2)
  for (const { data } of tensors.values()) gaussian(random, data, 0.3)
  const files = exportPeft({ lora, tensors }, base.name)
  await mkdir(adapterDirectory)
  await writeFile(join(adapterDirectory, 'adapter_model.safetensors'), files.weights)
  await writeFile(join(adapterDirectory, 'adapter_config.json'), files.config)

  const session = await openSession(prefillProgram(base.config), base.parameters)
  const cache = new KvCache(base.config)
  cache.add()
  const { feeds } = padBatch([{ tokens: TOKENS }])
  const outputs = await session.run({
    tokens: feeds['tokens']!,
    positions: feeds['positions']!,
    rows: { dims: [TOKENS.length], data: Int32Array.from(TOKENS.keys()) },
    ...cache.feeds(),
    ...new AdapterPack(base.config).feeds([importPeft(base.config, files)]),
  })
  await session.release()
  const { data } = outputs.get('logits')!
  const { vocab } = base.config
  const rows = TOKENS.map((_, i) => [...data.subarray(i * vocab, (i + 1) * vocab)])
  return {
    first: rows.map((row) => row.slice(0, 16)),
    norms: rows.map((row) => Math.hypot(...row)),
  }
}

function assertEqualLogits(found: Logits, expected: Logits): void {
  const scale = Math.max(...expected.first.flat().map(Math.abs))
  const pairs = [...found.first.flat(), ...found.norms].map((x, i) => [
    x,
    [...expected.first.flat(), ...expected.norms][i]!,
  ])
  assert.equal(pairs.length, TOKENS.length * 17)
  for (const [x, y] of pairs)
    assert.ok(Math.abs(x! - y!) < 1e-5 * Math.max(scale, Math.abs(y!)), `${x} ${y}`)
}

const ours = await exportedLogits()

test('an exported adapter has the logits that Hugging Face PEFT computes from the same files', async () => {
  const golden = await readFile(new URL('expected.json', GOLDEN), 'utf8')
  assertEqualLogits(ours, JSON.parse(golden))
})

test(
  'Hugging Face PEFT loads the exported files today',
  { skip: PYTHON === undefined && 'OPENLEDGER_PYTHON is not set' },
  () => {
    const script = new URL('make.py', GOLDEN).pathname
    const args = [script, modelDirectory, adapterDirectory, TOKENS.join(',')]
    const answer = execFileSync(PYTHON!, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    assertEqualLogits(ours, JSON.parse(answer))
  },
)
