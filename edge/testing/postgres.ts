import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import postgres from 'postgres'
import { migrateLedger } from '#stack/ledger-migrations.ts'

export type Postgres = {
  url: string
  db: PGlite
  /** Runs a statement in a transaction of its own; `db` itself would meddle with those of others. */
  query: <T>(statement: string, ...values: string[]) => Promise<T[]>
  stop: () => Promise<void>
}

/**
 * Starts an empty Postgres with the ledger's migrations on a free port, and points the LEDGER binding of every edge
 * that is started afterwards at it.
 */
export async function startPostgres(): Promise<Postgres> {
  const port = await freePort()
  const db = await PGlite.create()
  const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port, maxConnections: 10 })
  await server.start()
  const url = `postgres://postgres:postgres@127.0.0.1:${port}/postgres`
  await migrateLedger(url)
  process.env['CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_LEDGER'] = url
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => undefined })
  return {
    url,
    db,
    query: async <T>(statement: string, ...values: string[]) =>
      (await sql.begin((tx) => tx.unsafe(statement, values))) as unknown as T[],
    stop: async () => {
      await sql.end({ timeout: 1 })
      await server.stop()
      await db.close()
    },
  }
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
