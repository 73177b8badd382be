import { canonicalJson, sha256Hex, type Hex } from './bytes.ts'

/** SHA-256 of the files that make a base model. */
export type BaseFiles = { config: Hex; tokenizer: Hex; weights: Hex[] }

/** Identity of a base model: sha256 of its canonical file manifest. */
export const baseDigest = (files: BaseFiles): Hex =>
  sha256Hex(canonicalJson({ kind: 'base', ...files }))

/** What identifies an adapter: its weights, its PEFT configuration and the base it belongs to. */
export type AdapterFiles = { weights: Hex; config: Hex; base: Hex }

/** Identity of an adapter: sha256 of its canonical manifest. `config` hashes the canonical JSON of adapter_config.json. */
export const adapterDigest = (files: AdapterFiles): Hex =>
  sha256Hex(canonicalJson({ kind: 'adapter', ...files }))

/** `<base>` or `<base>:<owner>/<slug>`, optionally `@sha256-<64 hex>`. */
export type ModelName = { base: string; adapter?: string; digest?: Hex }

const MODEL_NAME =
  /^([a-z0-9][a-z0-9._-]{0,63})(?::([a-z0-9][a-z0-9._-]{0,63}\/[a-z0-9][a-z0-9._-]{0,63}))?(?:@sha256-([0-9a-f]{64}))?$/

/** Parses a model name; null when it is malformed. */
export function parseModelName(name: string): ModelName | null {
  const match = MODEL_NAME.exec(name)
  if (!match?.[1]) return null
  return {
    base: match[1],
    ...(match[2] && { adapter: match[2] }),
    ...(match[3] && { digest: `0x${match[3]}` }),
  }
}
