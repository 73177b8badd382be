// Writes every golden case's adapter as PEFT, merged and GGUF files, for check_exports.py: write_exports.ts DIRECTORY
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exportGgufAdapter, exportMerged } from '#engine/models/export.ts'
import { loadModel } from '#engine/models/files.ts'
import { toPeft } from '#engine/models/lora.ts'
import { importPeft, peftConfig } from '#engine/models/peft.ts'
import { readSafetensors, writeSafetensors } from '#engine/safetensors.ts'

const CASES = ['tied', 'untied', 'smollm2', 'mistral', 'qwen2', 'qwen3', 'patterns']
const [, , output = ''] = process.argv

for (const name of CASES) {
  const golden = join(import.meta.dirname, name)
  const { config, parameters } = await loadModel(golden)
  const imported = importPeft(
    config,
    JSON.parse(await readFile(join(golden, 'adapter_config.json'), 'utf8')),
    readSafetensors(await readFile(join(golden, 'adapter_model.safetensors'))),
  )
  if ('refused' in imported) throw new Error(imported.refused)
  const { adapter } = imported
  const folder = join(output, name)
  await mkdir(join(folder, 'peft'), { recursive: true })
  await mkdir(join(folder, 'merged'), { recursive: true })
  await writeFile(
    join(folder, 'peft/adapter_config.json'),
    JSON.stringify(peftConfig(adapter.lora, golden)),
  )
  await writeFile(
    join(folder, 'peft/adapter_model.safetensors'),
    writeSafetensors(toPeft(adapter.tensors)),
  )
  await cp(join(golden, 'config.json'), join(folder, 'merged/config.json'))
  await writeFile(
    join(folder, 'merged/model.safetensors'),
    exportMerged(config, parameters, adapter, 'F32').parts,
  )
  await writeFile(join(folder, 'adapter.gguf'), exportGgufAdapter(config, adapter))
}
