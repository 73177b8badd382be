import { datanetManifest, type AdapterManifest, type LoraMethod } from '#protocol/wire.ts'
import { getJson } from '../blobs/store.ts'
import type { Ctx } from '../context.ts'
import type { Adapter } from './catalogue.ts'

export type CardSource = {
  adapter: Adapter
  manifest: AdapterManifest
  /** Absent when the job is not ours to see any more. */
  method: LoraMethod | null
}

/** The model card of an adapter in Hugging Face's form: front matter, then what it is, what made it and how well it did. */
export async function modelCard(
  ctx: Ctx,
  { adapter, manifest, method }: CardSource,
): Promise<string> {
  const { base, training, digest, datanets } = manifest
  const sources = await Promise.all(
    datanets.map(async (ref) => ({
      ref,
      contents: await getJson(ctx.env, ref.manifest, datanetManifest),
    })),
  )
  const licences = [...new Set(sources.flatMap(({ contents }) => contents?.licence ?? []))]
  const [licence] = licences
  return `---
library_name: peft
base_model: ${yaml(base.name)}
base_model_relation: adapter
pipeline_tag: text-generation
tags: [lora, openledger]
license: ${licences.length === 1 && licence ? yaml(licence.toLowerCase()) : 'other'}
---

# ${adapter.name}

A LoRA adapter of \`${base.name}\`, trained with OpenLedger on Datanet versions whose contributors are paid whenever their
records shape an answer. It belongs to \`${manifest.owner}\`.

| | |
| --- | --- |
| adapter | \`${digest}\` |
| base model | \`${base.digest}\` |
| attribution index | \`${manifest.indexRoot}\` |
| registered in | ${adapter.txHash ? `\`${adapter.txHash}\`` : 'not known'} |
| job | \`${manifest.jobId}\` |

## Data

| Datanet | version | records | contributors | licence | root on chain |
| --- | --- | --- | --- | --- | --- |
${sources.map(({ ref, contents }) => `| ${contents ? cell(contents.name) : ''} \`${ref.id}\` | ${ref.version} | ${contents?.records ?? ''} | ${contents?.contributors.length ?? ''} | ${contents ? cell(contents.licence) : ''} | \`${ref.root}\` |`).join('\n')}

## Training

${training.steps} steps over ${training.tokens} tokens. Loss on held-out records, which share no near-duplicate cluster with trained
ones, in nats a token: ${training.initialValidationLoss.toFixed(4)} before, ${training.validationLoss.toFixed(4)} after.
${method ? `\n\`\`\`json\n${JSON.stringify(method, null, 2)}\n\`\`\`\n` : ''}
The adapter writes in the manner of its records and can invent facts; attribution says which records an answer rests on, not
whether it is true.
`
}

/** A YAML string, whatever is in it. */
const yaml = (text: string): string => JSON.stringify(text)

/** Text inside a Markdown table: nothing that would end the cell or begin markup. */
const cell = (text: string): string => text.replace(/[\r\n|`<>[\]*_\\]/g, ' ').trim()
