import { DatabaseSync } from 'node:sqlite'

/** What a store needs of a Durable Object's storage, over a SQLite file: to run it outside of a Worker, where memory is seen. */
export function openStorage(path: string): DurableObjectStorage {
  const database = new DatabaseSync(path)
  const exec = (query: string, ...values: unknown[]) => {
    if (values.length === 0 && query.includes(';')) return void database.exec(query)
    const bound = values.map((value) =>
      value instanceof ArrayBuffer ? new Uint8Array(value) : value,
    )
    const rows = () => database.prepare(query).iterate(...(bound as (string | number | null)[]))
    // A cursor runs its statement at once, like a Worker's.
    const first = rows()
    const head = first.next()
    const all = function* () {
      for (let next = head; !next.done; next = first.next()) yield next.value
    }
    return {
      [Symbol.iterator]: all,
      toArray: () => [...all()],
      one: () => head.value,
    }
  }
  const transactionSync = <T>(work: () => T): T => {
    database.exec('BEGIN')
    try {
      const made = work()
      database.exec('COMMIT')
      return made
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
    }
  }
  return { sql: { exec }, transactionSync } as unknown as DurableObjectStorage
}
