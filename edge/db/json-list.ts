import { sql } from 'drizzle-orm'

/** A list for `inArray` as one parameter, each item once: D1 takes at most 100 parameters. */
export const jsonList = (items: readonly string[]) =>
  sql`(SELECT value FROM json_each(${JSON.stringify([...new Set(items)])}))`
