/** WebGPU without a GPU: SwiftShader, a Vulkan driver in software, which Debian's chromium brings. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { WEIGHT_FORMATS } from '#engine/quant.ts'
import type { MixedBatch } from '../testing/mixed-batch.ts'

const DRIVER = '/usr/lib/chromium/vk_swiftshader_icd.json'
const LOADERS = ['x86_64', 'aarch64'].map((cpu) => `/usr/lib/${cpu}-linux-gnu/libvulkan.so.1`)
const skip =
  existsSync(DRIVER) && LOADERS.some((path) => existsSync(path))
    ? false
    : `no software GPU: apt-get install chromium libvulkan1 (${DRIVER})`

/** Runs a module in a process of its own, which a provider may abort; its last line of output. */
async function lastLineOf(args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    env: { ...process.env, VK_ICD_FILENAMES: DRIVER, XDG_RUNTIME_DIR: '/tmp' },
    timeout: 300_000,
  })
  return stdout.trim().split('\n').at(-1) ?? ''
}
const fileOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
const generated = async (provider: string, format = 'f32'): Promise<MixedBatch> =>
  JSON.parse(
    await lastLineOf([fileOf('../testing/mixed-batch.ts'), provider, format]),
  ) as MixedBatch

for (const format of WEIGHT_FORMATS)
  test(`a row of a mixed batch on a base in ${format} has the same tokens alone, on CPU`, async () => {
    const { together, alone } = await generated('cpu', format)
    assert.deepEqual(together, alone)
    assert.equal(new Set(alone.map(String)).size, alone.length) // the rows do differ
  })

test(
  'a row of a mixed batch has the same tokens alone, on WebGPU, and those of CPU',
  { skip },
  async () => {
    const { together, alone } = await generated('webgpu')
    assert.deepEqual(together, alone)
    assert.deepEqual(alone, (await generated('cpu')).alone)
  },
)

test('every output of every program agrees between WebGPU and CPU', { skip }, async () => {
  const conformance = new URL('../engine/conformance.ts', import.meta.url).href
  const script = `import { checkConformance } from '${conformance}'
    console.log(JSON.stringify(await checkConformance('webgpu')))`
  assert.equal(await lastLineOf(['--input-type=module', '--eval', script]), '[]')
})
