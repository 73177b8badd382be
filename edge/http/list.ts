import { z } from '@hono/zod-openapi'

export const MAX_PAGE = 100

/** Query of every list: newest first unless said otherwise, keyset paging by id. */
export const listQuery = z.object({
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(20),
  after: z.string().optional().openapi({ description: 'Id of the last item of the page before.' }),
})
export type ListQuery = z.infer<typeof listQuery>

/** OpenAI's list shape. */
export const listSchema = <T extends z.ZodType>(item: T) =>
  z.object({
    object: z.literal('list'),
    data: z.array(item),
    has_more: z.boolean(),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
  })

/** A page from `limit + 1` rows read: the one too many says that there are more. */
export function page<T extends { id: string }>(rows: readonly T[], limit: number) {
  const data = rows.slice(0, limit)
  return {
    object: 'list' as const,
    data,
    has_more: rows.length > limit,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  }
}
