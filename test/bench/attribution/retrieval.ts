/**
 * Retrieval (BM25 joined with embeddings of the base model), beside each half alone: questions of MedQuAD
 * publishers and of TAT-QA's test split that the base did not see, and whether the one record they were asked about is found.
 */
import { cosine, openEmbedder, type Embedder } from '#gpu-worker/retrieval/embedder.ts'
import { openRetriever } from '#gpu-worker/retrieval/retriever.ts'
import { memoryBlobs, publishDatanet, versionRowOf } from '#gpu-worker/testing/datanet.ts'
import type { Hex } from '#protocol/bytes.ts'
import type { Figure } from '../report.ts'
import { compare, plot, type Line } from './comparison.ts'
import { addressOf, questions, QUESTION_SETS, type QuestionSet } from './datasets.ts'
import { isWithin, placeOf, rankOf, reciprocalRank } from './ranking.ts'
import type { Bench } from './scored.ts'

const MOST = 10
const QUESTIONS = 400
const QUICK_QUESTIONS = 60

/** MRR and recall among the first ten. */
export async function measureRetrieval(bench: Bench): Promise<Figure[]> {
  const opened = await openEmbedder('base', bench.base, { threads: 1 })
  if (!opened) throw new Error('the base embeds')
  const embedder = remembering(opened)
  try {
    const figures: Figure[] = []
    for (const name of QUESTION_SETS) {
      const asked = questions(name, bench.data, bench.isQuick ? QUICK_QUESTIONS : QUESTIONS)
      figures.push(...(await measureSet(name, asked, embedder)))
    }
    return figures
  } finally {
    await embedder.release()
  }
}

/** Embeds a text once: the rankings by meaning ask for the same records. */
function remembering(embedder: Embedder): Embedder {
  const known = new Map<string, Float32Array>()
  return {
    ...embedder,
    embed: async (texts) => {
      const missing = [...new Set(texts)].filter((text) => !known.has(text))
      const made = await embedder.embed(missing)
      missing.forEach((text, i) => known.set(text, made[i] ?? new Float32Array()))
      return texts.map((text) => known.get(text) ?? new Float32Array())
    },
  }
}

async function measureSet(
  name: string,
  { texts, asked }: QuestionSet,
  embedder: Embedder,
): Promise<Figure[]> {
  const records = texts.map((text) => ({ fields: { text }, contributor: addressOf(name) }))
  const names = records.map((record) => versionRowOf(record).record)
  const blobs = memoryBlobs()
  const version = await publishDatanet(blobs, records)
  const ranked = async (by: Embedder | null): Promise<(number | null)[]> => {
    const retriever = openRetriever(blobs, by)
    const ranks: (number | null)[] = []
    for (const { question, record } of asked) {
      const found = await retriever.retrieve(question, [version], {
        topK: MOST,
        isRevoked: () => false,
      })
      const at = found.findIndex((it) => it.record === (names[record] satisfies Hex | undefined))
      ranks.push(placeOf(at))
    }
    return ranks
  }
  const methods: { label: string; group: Line['group']; ranks: (number | null)[] }[] = [
    { label: 'ours, BM25 and embeddings', group: 'ours', ranks: await ranked(embedder) },
    { label: 'BM25 alone', group: 'baseline', ranks: await ranked(null) },
    {
      label: 'embeddings alone',
      group: 'baseline',
      ranks: await byMeaning({ texts, asked }, embedder),
    },
  ]
  const lines = (of: (rank: number | null) => number): Line[] =>
    methods.map(({ label, group, ranks }) => ({ label, group, perItem: ranks.map(of) }))
  const what = `${name}: ${asked.length} questions, ${texts.length} records`
  // Places behind the tenth count nothing, for all three alike.
  const reciprocal = lines((rank) => (isWithin(rank, MOST) ? reciprocalRank(rank) : 0))
  await plot(`retrieval-${name}`, `MRR@${MOST}, ${what}`, reciprocal)
  return [
    ...compare(`${what}, MRR@${MOST}`, '', reciprocal),
    ...compare(
      `${what}, recall of the first ${MOST}`,
      '',
      lines((rank) => isWithin(rank, MOST)),
    ),
  ]
}

/** Cosines with all records, centred on their mean as the retriever centres its candidates. */
async function byMeaning(
  { texts, asked }: QuestionSet,
  embedder: Embedder,
): Promise<(number | null)[]> {
  const vectors = await embedder.embed(texts)
  const mean = (vectors[0] ?? new Float32Array()).map(
    (_, i) => vectors.reduce((sum, vector) => sum + (vector[i] ?? 0), 0) / vectors.length,
  )
  const centred = (vector: Float32Array) => {
    const moved = vector.map((x, i) => x - (mean[i] ?? 0))
    const norm = Math.sqrt(cosine(moved, moved)) || 1
    return moved.map((x) => x / norm)
  }
  const rows = vectors.map(centred)
  const queries = (await embedder.embed(asked.map(({ question }) => question))).map(centred)
  return queries.map((query, q) =>
    rankOf(
      asked[q]?.record ?? 0,
      rows.map((row) => cosine(row, query)),
    ),
  )
}
