/** From corpus to batches: tokenizer, token sequences, and which rows each training step sees. */
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { type Batch, packBatch, type Sequence } from '#engine/batch.ts'
import { randomSource } from '#engine/random.ts'
import { countWords, trainBpe } from './bpe.ts'
import { documentText, loadCorpus, repeatDocuments } from './corpus.ts'
import { type Piece, packRows } from './packing.ts'
import type { Recipe } from './recipe.ts'
import { DOMAINS, type Document, type Domain } from './sources.ts'
import { encodeDocument, loadTokenizer, SPECIAL_TOKENS, writeTokenizer } from './tokenizer.ts'

/** Rows of a forward-only batch. */
const EVALUATION_ROWS = 8

type Rows = { readonly sequences: readonly Int32Array[]; readonly rows: readonly Piece[][] }

export type Dataset = {
  readonly tokensPerEpoch: number
  /** sha256 over the recipe and all training tokens: a checkpoint belongs to one such digest. */
  readonly digest: string
  /** The batch of a step, counted from 0 over all epochs; a pure function, so the step is the data position. */
  readonly trainingBatch: (step: number) => Batch
  readonly epochOf: (step: number) => number
  readonly heldOut: ReadonlyMap<Domain, readonly Batch[]>
}

/**
 * Reads the corpus under `dataDir`, trains the tokenizer on its training part, writes the tokenizer's files to
 * `modelDir` and encodes everything with it. Deterministic: running it again gives the same files and batches.
 */
export async function prepareDataset(
  dataDir: string,
  modelDir: string,
  recipe: Recipe,
): Promise<Dataset> {
  const corpus = loadCorpus(dataDir, recipe.seed)
  const train = repeatDocuments(corpus.train)
  const words = countWords(train.map(documentText))
  await mkdir(modelDir, { recursive: true })
  const vocabulary = trainBpe(words, SPECIAL_TOKENS, recipe.vocabularySize)
  await writeTokenizer(modelDir, vocabulary, recipe.config.max_position_embeddings)
  const tokenizer = await loadTokenizer(modelDir)

  const pack = (documents: readonly Document[]): Rows => {
    const sequences = documents.map((document) =>
      Int32Array.from(encodeDocument(tokenizer, document)),
    )
    const lengths = sequences.map((sequence) => sequence.length)
    return { sequences, rows: packRows(lengths, recipe.rowTokens) }
  }
  const training = pack(train)
  const stepsPerEpoch = Math.floor(training.rows.length / recipe.rowsPerStep)
  if (stepsPerEpoch === 0) {
    throw new Error(
      `the corpus fills ${training.rows.length} rows, a step needs ${recipe.rowsPerStep}`,
    )
  }
  const shuffled = lastValue((epoch: number) => shuffle(training.rows, recipe.seed + epoch))
  const heldOut = DOMAINS.map((domain): [Domain, Batch[]] => {
    const { sequences, rows } = pack(corpus.heldOut.filter((d) => d.domain === domain))
    const count = Math.ceil(rows.length / EVALUATION_ROWS)
    const batches = Array.from({ length: count }, (_, i) =>
      layOut(sequences, rows.slice(i * EVALUATION_ROWS, (i + 1) * EVALUATION_ROWS), recipe),
    )
    return [domain, batches]
  })
  return {
    tokensPerEpoch: training.sequences.reduce((sum, sequence) => sum + sequence.length, 0),
    digest: digestOf(recipe, training.sequences),
    epochOf: (step) => Math.floor(step / stepsPerEpoch),
    trainingBatch: (step) => {
      const first = (step % stepsPerEpoch) * recipe.rowsPerStep
      const rows = shuffled(Math.floor(step / stepsPerEpoch))
      return layOut(training.sequences, rows.slice(first, first + recipe.rowsPerStep), recipe)
    },
    heldOut: new Map(heldOut),
  }
}

/** The engine packs first-fit in the given order, so pieces in row order need no more rows than planned. */
function layOut(sequences: readonly Int32Array[], rows: readonly Piece[][], recipe: Recipe): Batch {
  const pieces = rows.flat().map(({ sequence, start, length }): Sequence => ({
    tokens: sequences[sequence]?.subarray(start, start + length) ?? [],
  }))
  return packBatch(pieces, recipe.rowTokens)
}

/** A shuffled copy (Fisher and Yates). */
export function shuffle<T>(items: readonly T[], seed: number): T[] {
  const random = randomSource(seed)
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[result[i], result[j]] = [result[j] as T, result[i] as T]
  }
  return result
}

/** Remembers the value of the last argument. */
function lastValue<T>(compute: (key: number) => T): (key: number) => T {
  let last: { key: number; value: T } | undefined
  return (key) => {
    if (last?.key !== key) last = { key, value: compute(key) }
    return last.value
  }
}

function digestOf(recipe: Recipe, sequences: readonly Int32Array[]): string {
  const hash = createHash('sha256').update(JSON.stringify(recipe))
  for (const sequence of sequences) hash.update(sequence)
  return hash.digest('hex')
}
