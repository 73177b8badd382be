import { Hono } from 'hono'

/** The reference of the accept path: Hono and one write to R2, nothing else. */
type Bindings = { BLOBS: { put: (key: string, value: ArrayBuffer) => Promise<unknown> } }

const app = new Hono<{ Bindings: Bindings }>()

app.get('/health', (c) => c.json({ status: 'ok' }))
app.post('/', async (c) => {
  const key = crypto.randomUUID()
  await c.env.BLOBS.put(key, await c.req.arrayBuffer())
  return c.json({ id: key }, 202)
})

export default app
