/** The pre-training corpus: documents of all sources, without duplicates, split into training and held-out documents. */
import { createHash } from 'node:crypto'
import { type Document, type Domain, hashFraction, readSources } from './sources.ts'

/** Share of groups (pages, clauses, reports) held out of training. */
const HELD_OUT_SHARE = 0.02

/** How often an epoch shows a document. Legal text is an eighth of the corpus; shown twice, it is a quarter of an epoch. */
const REPEATS: Record<Domain, number> = { medical: 1, legal: 2, finance: 1 }

export type Corpus = { train: Document[]; heldOut: Document[] }

/** The words of a document, without chat markup. */
export function documentText(document: Document): string {
  if (typeof document.content === 'string') return document.content
  return document.content.map((turn) => turn.content).join('\n')
}

/** Two documents with the same key count as duplicates: equal but for letter case, punctuation, spacing and chat markup. */
export function duplicateKey(document: Document): string {
  const words =
    documentText(document)
      .toLowerCase()
      .normalize('NFKC')
      .match(/[\p{L}\p{N}]+/gu) ?? []
  return createHash('sha256').update(words.join(' ')).digest('hex')
}

/** Keeps the first of equal documents, then splits by group. The result depends only on the documents and the seed. */
export function buildCorpus(documents: Document[], seed: number): Corpus {
  const seen = new Set<string>()
  const corpus: Corpus = { train: [], heldOut: [] }
  for (const document of documents) {
    const key = duplicateKey(document)
    if (seen.has(key)) continue
    seen.add(key)
    const isHeldOut = hashFraction(`held-out:${seed}:${document.group}`) < HELD_OUT_SHARE
    corpus[isHeldOut ? 'heldOut' : 'train'].push(document)
  }
  return corpus
}

/** Reads the sources under `dataDir` and builds the corpus. Throws when a file is missing. */
export function loadCorpus(dataDir: string, seed: number): Corpus {
  return buildCorpus(readSources(dataDir), seed)
}

/** One epoch of documents: each as often as `REPEATS` says. */
export function repeatDocuments(documents: readonly Document[]): Document[] {
  return documents.flatMap((document) =>
    new Array<Document>(REPEATS[document.domain]).fill(document),
  )
}
