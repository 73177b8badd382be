/** An adapter as PEFT's two files, in bytes: adapter_config.json and adapter_model.safetensors. */
import type { Adapter } from '#engine/adapter-pack.ts'
import type { LlamaConfig } from '#engine/models/config.ts'
import { toPeft } from '#engine/models/lora.ts'
import { importPeft as readPeft, peftConfig } from '#engine/models/peft.ts'
import { readSafetensors, writeSafetensors } from '#engine/safetensors.ts'
import { canonicalJson, type Hex } from '#protocol/bytes.ts'
import { adapterDigest } from '#protocol/model.ts'
import { sha256Of } from '../blobs.ts'

export type PeftFiles = { weights: Uint8Array; config: Uint8Array }

/** PEFT's two files of an adapter; equal adapters have equal bytes. The configuration is canonical JSON. */
export const exportPeft = ({ lora, tensors }: Adapter, baseName: string): PeftFiles => ({
  weights: writeSafetensors(toPeft(tensors)),
  config: new TextEncoder().encode(canonicalJson(peftConfig(lora, baseName))),
})

/** Reads PEFT's two files for a base model; throws an Error that names what the engine does not compute. */
export function importPeft(base: LlamaConfig, { config, weights }: PeftFiles): Adapter {
  const adapterConfig: unknown = JSON.parse(new TextDecoder().decode(config))
  const read = readPeft(base, adapterConfig, readSafetensors(weights))
  if ('refused' in read) throw new Error(`the adapter cannot be used: ${read.refused}`)
  return read.adapter
}

/** The digest that is on chain. */
export function digestOfFiles({ weights, config }: PeftFiles, base: Hex): Hex {
  const canonical = canonicalJson(JSON.parse(new TextDecoder().decode(config)))
  return adapterDigest({
    weights: sha256Of(weights),
    config: sha256Of(new TextEncoder().encode(canonical)),
    base,
  })
}
