import { z } from 'zod'
import { address, bytes32, recordFields } from '#protocol/wire.ts'
import type { Env } from '../env.ts'
import type { AnswerPrint, DedupIndex, IndexEntry, IndexHit } from './pipeline/dedup-index.ts'

/** Characters of JSON per bound parameter: at most three bytes each, and a D1 value holds 2 MB. */
const JSON_PARAMETER_CHARS = 500_000

const candidate = z.object({
  seq: z.int(),
  record_hash: bytes32,
  cluster: bytes32,
  contributor: address,
  datanet_id: z.string(),
  fields: z.string().transform((text) => recordFields.parse(JSON.parse(text))),
})

/**
 * The duplicate index of a Datanet in D1, for what was received at a time: a record that came before an answer is not
 * compared with it, however long it waited. Lists travel as one JSON parameter, because a statement takes 100 of them.
 * The joins read at most `limit` rows per band or window through the primary key, which holds them in order of
 * acceptance; CROSS JOIN keeps SQLite from scanning a Datanet instead.
 */
export function dedupIndexOf(
  { DB }: Pick<Env, 'DB'>,
  { datanetId, receivedAt }: { datanetId: string; receivedAt: number },
): DedupIndex {
  return {
    lookupKeys: (keys) =>
      hits<string>(
        DB.prepare(
          `SELECT key, min(seq) AS seq FROM dedup_keys
           WHERE datanet_id = ?1 AND key IN (SELECT value FROM json_each(?2)) GROUP BY key`,
        ).bind(datanetId, JSON.stringify(keys)),
      ),
    lookupBands: (bands, limit) =>
      hits<number>(
        DB.prepare(
          `SELECT b.band AS key, b.seq FROM json_each(?2) AS wanted CROSS JOIN dedup_bands AS b
           ON b.datanet_id = ?1 AND b.band = wanted.value AND b.seq IN (
             SELECT seq FROM dedup_bands WHERE datanet_id = ?1 AND band = wanted.value ORDER BY seq LIMIT ?3)
           ORDER BY b.seq`,
        ).bind(datanetId, JSON.stringify(bands), limit),
      ),
    lookupWindows: (windows, limit) =>
      hits<number>(
        DB.prepare(
          `SELECT w.window AS key, w.seq FROM json_each(?1) AS wanted CROSS JOIN dedup_windows AS w
           ON w.window = wanted.value AND w.seq IN (
             SELECT seq FROM dedup_windows WHERE window = wanted.value ORDER BY seq LIMIT ?2)
           ORDER BY w.seq`,
        ).bind(JSON.stringify(windows), limit),
      ),
    lookupAnswers: async (windows) => {
      const { results } = await DB.prepare(
        `SELECT window FROM answer_windows
         WHERE window IN (SELECT value FROM json_each(?1)) AND given_at < ?2`,
      )
        .bind(JSON.stringify(windows), receivedAt)
        .all<{ window: number }>()
      return results.map(({ window }) => window)
    },
    fetchRecords: async (refs) => {
      const { results } = await DB.prepare(
        `SELECT seq, record_hash, cluster, contributor, datanet_id, fields FROM indexed_records
         WHERE seq IN (SELECT CAST(value AS INTEGER) FROM json_each(?1))`,
      )
        .bind(JSON.stringify(refs))
        .all()
      return z
        .array(candidate)
        .parse(results)
        .map((row) => ({
          ref: String(row.seq),
          recordHash: row.record_hash,
          cluster: row.cluster,
          contributor: row.contributor,
          sameDatanet: row.datanet_id === datanetId,
          sequence: row.seq,
          fields: row.fields,
        }))
    },
  }
}

async function hits<Key>(statement: D1PreparedStatement): Promise<IndexHit<Key>[]> {
  const { results } = await statement.all<{ key: Key; seq: number }>()
  return results.map(({ key, seq }) => ({ key, ref: String(seq) }))
}

/**
 * Statements that add entries to the index in their order; to be run in one batch with the verdicts. A record hash
 * that the Datanet has already keeps its first place.
 */
export function indexStatements(
  { DB }: Pick<Env, 'DB'>,
  of: { datanetId: string; contributionId: string },
  entries: readonly IndexEntry[],
): D1PreparedStatement[] {
  const own = `indexed_records AS r ON r.datanet_id = ?1 AND r.record_hash = e.value->>'$.recordHash'`
  return jsonChunks(entries).flatMap((json) => [
    DB.prepare(
      `INSERT INTO indexed_records (datanet_id, contribution_id, record_hash, cluster, contributor, fields)
       SELECT ?1, ?2, value->>'$.recordHash', value->>'$.cluster', value->>'$.contributor', value->'$.fields'
       FROM json_each(?3) WHERE true ON CONFLICT DO NOTHING`,
    ).bind(of.datanetId, of.contributionId, json),
    DB.prepare(
      `INSERT INTO dedup_keys (datanet_id, key, seq)
       SELECT ?1, k.value, r.seq FROM json_each(?2) AS e CROSS JOIN ${own} CROSS JOIN json_each(e.value, '$.keys') AS k
       WHERE true ON CONFLICT DO NOTHING`,
    ).bind(of.datanetId, json),
    DB.prepare(
      `INSERT INTO dedup_bands (datanet_id, band, seq)
       SELECT ?1, b.value, r.seq FROM json_each(?2) AS e CROSS JOIN ${own} CROSS JOIN json_each(e.value, '$.bandKeys') AS b
       WHERE true ON CONFLICT DO NOTHING`,
    ).bind(of.datanetId, json),
    DB.prepare(
      `INSERT INTO dedup_windows (window, seq)
       SELECT w.value, r.seq FROM json_each(?2) AS e CROSS JOIN ${own} CROSS JOIN json_each(e.value, '$.windowHashes') AS w
       WHERE true ON CONFLICT DO NOTHING`,
    ).bind(of.datanetId, json),
  ])
}

/**
 * Adds answers to the index; idempotent, the earliest time of a window stays. Windows that a record holds are left out:
 * reciting it, the model says nothing of its own, and the record came first.
 */
export async function indexAnswers(
  { DB }: Pick<Env, 'DB'>,
  answers: readonly AnswerPrint[],
): Promise<void> {
  for (const json of jsonChunks(answers))
    await DB.prepare(
      `INSERT INTO answer_windows (window, given_at)
       SELECT w.value, a.value->>'$.givenAt' FROM json_each(?1) AS a CROSS JOIN json_each(a.value, '$.windows') AS w
       WHERE NOT EXISTS (SELECT 1 FROM dedup_windows AS d WHERE d.window = w.value) ON CONFLICT DO NOTHING`,
    )
      .bind(json)
      .run()
}

/** Statements that take a contribution out of the index, for one that the chain refused. */
export function unindexStatements(
  { DB }: Pick<Env, 'DB'>,
  contributionId: string,
): D1PreparedStatement[] {
  const own = '(SELECT seq FROM indexed_records WHERE contribution_id = ?1)'
  return [
    `DELETE FROM dedup_keys WHERE seq IN ${own}`,
    `DELETE FROM dedup_bands WHERE seq IN ${own}`,
    `DELETE FROM dedup_windows WHERE seq IN ${own}`,
    'DELETE FROM indexed_records WHERE contribution_id = ?1',
  ].map((statement) => DB.prepare(statement).bind(contributionId))
}

/** Items as JSON arrays, none longer than a D1 value may be. */
export function jsonChunks(items: readonly unknown[]): string[] {
  const chunks: string[] = []
  let chunk: string[] = []
  let chars = 0
  for (const item of items) {
    const json = JSON.stringify(item)
    if (chunk.length > 0 && chars + json.length > JSON_PARAMETER_CHARS) {
      chunks.push(`[${chunk.join(',')}]`)
      chunk = []
      chars = 0
    }
    chunk.push(json)
    chars += json.length + 1
  }
  if (chunk.length > 0) chunks.push(`[${chunk.join(',')}]`)
  return chunks
}
