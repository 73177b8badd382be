/** An adapter's attribution index as anybody can read it: without weights, verified against the root on chain. */
import type { Hex } from '#protocol/bytes.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import { decodeRows } from '../attribution/index-files.ts'
import type { ComparedRows } from '../attribution/index-rows.ts'
import { decodeSpanIndex } from '../attribution/span-files.ts'
import { rowTokens } from '../attribution/span-index.ts'
import type { ModelFacts } from './chain-facts.ts'
import type { PublishedFiles } from './published-files.ts'

export type OpenIndex = ComparedRows & {
  /** The trained tokens of a row's record, which have the root in the row. */
  tokensOf: (row: number) => number[]
}

type IndexSource = Pick<PublishedFiles, 'manifest' | 'adapterFile'>

const MOST_KEPT = 8

/** Reads indexes, each once. An index that cannot be had or is not the one on chain is an Error, as a value. */
export function openIndexes(files: IndexSource) {
  const kept = new Map<Hex, Promise<OpenIndex | Error>>()
  return (
    digest: Hex,
    model: Pick<ModelFacts, 'indexRoot' | 'manifestHash'>,
  ): Promise<OpenIndex | Error> => {
    const found =
      kept.get(digest) ??
      readIndex(files, digest, model).catch((error: unknown) => {
        kept.delete(digest) // it may be there later
        return error instanceof Error ? error : new Error(String(error))
      })
    kept.delete(digest)
    kept.set(digest, found)
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break
      kept.delete(oldest)
    }
    return found
  }
}

async function readIndex(
  files: IndexSource,
  digest: Hex,
  { indexRoot, manifestHash }: Pick<ModelFacts, 'indexRoot' | 'manifestHash'>,
): Promise<OpenIndex> {
  const manifest = await files.manifest(digest, manifestHash)
  const file = (name: 'index/rows.json' | 'index/vectors.i8' | 'index/spans.bin') =>
    files.adapterFile(digest, manifest.files[name].sha256)
  const compared = decodeRows(
    { rows: await file('index/rows.json'), vectors: await file('index/vectors.i8') },
    indexRoot,
  )
  const spans = decodeSpanIndex(await file('index/spans.bin'))
  const checked = new Map<number, number[]>()
  return {
    ...compared,
    tokensOf: (row) => {
      const known = checked.get(row)
      if (known) return known
      const tokens = rowTokens(spans, row)
      if (tokensRoot(tokens) !== compared.rows[row]?.tokensRoot)
        throw new Error(`index/spans.bin: row ${row} has other tokens than index/rows.json`)
      checked.set(row, tokens)
      return tokens
    },
  }
}
