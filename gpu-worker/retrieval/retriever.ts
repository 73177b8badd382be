/**
 * Finds the records of Datanet versions that a question is about: BM25 picks candidates, embeddings rank them too, and
 * the two rankings are joined by reciprocal rank (Cormack, Clarke, Büttcher, SIGIR 2009). Near-duplicates are one
 * candidate, so that copies neither crowd an answer nor earn for each other.
 */
import type { Hex } from '#protocol/bytes.ts'
import type { RecordKey } from '#protocol/revocations.ts'
import type { RecordFields } from '#protocol/wire.ts'
import type { BlobStore } from '../blobs.ts'
import { canonicalRows, loadRows } from '../training/dataset.ts'
import { buildBm25, type Bm25 } from './bm25.ts'
import { cosine, type Embedder } from './embedder.ts'

/** A version of a Datanet, as a job names it. */
export type DatanetVersion = { id: string; version: number; root: Hex; manifest: Hex }

export type Retrieved = {
  datanet: string
  version: number
  /** Of the version. */
  root: Hex
  record: Hex
  cluster: Hex
  contributor: Hex
  text: string
}

export type Retriever = {
  /**
   * The best records for a question that are not revoked, at most `topK`; none when nothing fits. Rejects when a version
   * does not verify.
   */
  retrieve: (
    question: string,
    versions: readonly DatanetVersion[],
    options: { topK: number; isRevoked: (row: RecordKey) => boolean },
  ) => Promise<Retrieved[]>
}

/** Records per question whose meaning is compared, too. */
const CANDIDATES = 48
const RANK_OFFSET = 60 // of the paper
/** Indexes kept in memory, and vectors of records. */
const MOST_INDEXES = 8
const MOST_VECTORS = 20_000

/** Rows that have a root, whatever Datanet's version they are asked for as. */
type IndexedRow = Omit<Retrieved, 'datanet' | 'version'>
type VersionIndex = { rows: IndexedRow[]; bm25: Bm25 }
type Candidate = { row: Retrieved; score: number }

/** Opens a retriever over a store; a version is verified against its root when it is first asked for. */
export function openRetriever(blobs: Pick<BlobStore, 'get'>, embedder: Embedder | null): Retriever {
  const indexes = new Map<Hex, Promise<VersionIndex>>() // in the order of their last use
  const vectors = new Map<Hex, Float32Array>()

  const indexOf = (version: DatanetVersion): Promise<VersionIndex> => {
    const found = indexes.get(version.root) ?? buildIndex(blobs, version)
    indexes.delete(version.root)
    indexes.set(version.root, found)
    found.catch(() => indexes.delete(version.root))
    const [oldest] = indexes.keys()
    if (oldest && indexes.size > MOST_INDEXES) indexes.delete(oldest)
    return found
  }
  const vectorsOf = async (rows: readonly Retrieved[], by: Embedder): Promise<Float32Array[]> => {
    const missing = rows.filter(({ record }) => !vectors.has(record))
    const made = await by.embed(missing.map(({ text }) => text))
    missing.forEach(({ record }, i) => vectors.set(record, made[i] ?? new Float32Array()))
    const found = rows.map(({ record }) => vectors.get(record) ?? new Float32Array())
    for (const record of vectors.keys()) {
      if (vectors.size <= MOST_VECTORS) break
      vectors.delete(record)
    }
    return found
  }

  return {
    retrieve: async (question, versions, { topK, isRevoked }) => {
      const lexical: Candidate[] = []
      for (const version of versions) {
        const { rows, bm25 } = await indexOf(version)
        const named = { datanet: version.id, version: version.version }
        const isLive = (document: number) => !isRevoked(rows[document] as IndexedRow)
        for (const { document, score } of bm25.rank(question, CANDIDATES, isLive))
          lexical.push({ row: { ...(rows[document] as IndexedRow), ...named }, score })
      }
      const candidates = distinct(lexical.toSorted(byScore)).slice(0, CANDIDATES)
      const rankings = [candidates]
      if (embedder && candidates.length > 1) {
        const rows = candidates.map(({ row }) => row)
        const [asked] = await embedder.embed([question])
        const scores = similarities(asked ?? new Float32Array(), await vectorsOf(rows, embedder))
        rankings.push(rows.map((row, i) => ({ row, score: scores[i] ?? 0 })).toSorted(byScore))
      }
      return fuse(rankings)
        .slice(0, topK)
        .map(({ row }) => row)
    },
  }
}

async function buildIndex(
  blobs: Pick<BlobStore, 'get'>,
  version: DatanetVersion,
): Promise<VersionIndex> {
  const rows = canonicalRows(await loadRows(blobs, [version])).map(
    ({ record, cluster, contributor, fields }): IndexedRow => ({
      root: version.root,
      record,
      cluster,
      contributor,
      text: textOf(fields),
    }),
  )
  return { rows, bm25: buildBm25(rows.map(({ text }) => text)) }
}

/** What a record says, as text that can be quoted. */
export const textOf = (fields: RecordFields): string =>
  'text' in fields
    ? fields.text
    : 'prompt' in fields
      ? `${fields.prompt}\n${fields.completion}`
      : fields.messages.map(({ content }) => content).join('\n')

const byScore = (a: Candidate, b: Candidate): number =>
  b.score - a.score || (a.row.record < b.row.record ? -1 : 1)

/** The first of every cluster: two versions of a Datanet share records. */
function distinct(candidates: readonly Candidate[]): Candidate[] {
  const seen = new Set<Hex>()
  return candidates.filter(({ row: { cluster } }) => !seen.has(cluster) && seen.add(cluster))
}

/** Cosines after taking away the candidates' mean: vectors of language models share most of their direction. */
function similarities(asked: Float32Array, vectors: readonly Float32Array[]): number[] {
  const mean = asked.map(
    (_, i) => vectors.reduce((sum, vector) => sum + (vector[i] ?? 0), 0) / vectors.length,
  )
  const centred = (vector: Float32Array) => vector.map((x, i) => x - (mean[i] ?? 0))
  const query = centred(asked)
  return vectors.map((vector) => {
    const row = centred(vector)
    return cosine(query, row) / Math.sqrt(Math.max(cosine(row, row), Number.EPSILON))
  })
}

/** One ranking of several over the same candidates: sum of 1 / (60 + rank). */
function fuse(rankings: readonly Candidate[][]): Candidate[] {
  const joined = new Map<Hex, Candidate>()
  for (const ranking of rankings)
    ranking.forEach(({ row }, rank) => {
      const score = (joined.get(row.record)?.score ?? 0) + 1 / (RANK_OFFSET + rank + 1)
      joined.set(row.record, { row, score })
    })
  return [...joined.values()].toSorted(byScore)
}
