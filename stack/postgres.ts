import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

/** Entry of the postgres part: `node stack/postgres.ts DATA_DIR PORT`. PostgreSQL in WebAssembly on a real socket. */

const MAX_CONNECTIONS = 10 // pglite-socket resets every connection past the limit, whose default is 1
const [dataDir = '', port = ''] = process.argv.slice(2)

const db = await PGlite.create(dataDir)
const server = new PGLiteSocketServer({
  db,
  host: '127.0.0.1',
  port: Number(port),
  maxConnections: MAX_CONNECTIONS,
})
await server.start()

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, async () => {
    await server.stop()
    await db.close()
    process.exit(0)
  })
