import { and, desc, eq } from 'drizzle-orm'
import type { GenerateRequest } from '#protocol/generation.ts'
import type { Ctx } from '../context.ts'
import { versions } from '../db/schema.ts'
import { Problem } from '../problem.ts'

export type Retrieval = { datanets: string[]; topK: number }

/**
 * The published versions that a request retrieves from: `<id>` means the newest, `<id>@<number>` that one. Throws
 * `version/not-found`.
 */
export async function resolveRetrieval(
  { db }: Pick<Ctx, 'db'>,
  { datanets, topK }: Retrieval,
): Promise<NonNullable<GenerateRequest['retrieval']>> {
  const found = await Promise.all(
    datanets.map(async (name) => {
      const [id = '', number] = name.split('@')
      const [row] = await db
        .select()
        .from(versions)
        .where(
          and(
            eq(versions.datanetId, id),
            eq(versions.status, 'published'),
            number === undefined ? undefined : eq(versions.number, Number(number)),
          ),
        )
        .orderBy(desc(versions.number))
        .limit(1)
      if (!row?.root || !row.manifest)
        throw new Problem('version/not-found', {
          detail: `${name} has no published version to retrieve from.`,
          param: 'retrieval',
        })
      return { id, version: row.number, root: row.root, manifest: row.manifest }
    }),
  )
  return { versions: found, topK }
}
