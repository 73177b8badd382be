import { createTestHarness, type TestHarness, type WorkerHandle } from 'wrangler'

/** Bearer of the tests' gpu-workers. */
export const WORKER_TOKEN = 'a-token-for-the-workers-of-tests'

/** Variables that `npm start` gives the edge; the ports are closed, so that whoever needs a chain has to name one. */
const VARS = {
  RPC_URL: 'http://127.0.0.1:9',
  DA_URL: 'http://127.0.0.1:9',
  PUBLIC_URL: 'http://edge.test',
  CONTRACTS: JSON.stringify({
    parameters: `0x${'01'.repeat(20)}`,
    datanetRegistry: `0x${'02'.repeat(20)}`,
    modelRegistry: `0x${'03'.repeat(20)}`,
    inferenceVault: `0x${'04'.repeat(20)}`,
    attributionSettlement: `0x${'05'.repeat(20)}`,
    openGovernor: `0x${'06'.repeat(20)}`,
    votingOpen: `0x${'07'.repeat(20)}`,
    validatorStaking: `0x${'08'.repeat(20)}`,
    receiptChallenges: `0x${'0b'.repeat(20)}`,
    epochChallenges: `0x${'0c'.repeat(20)}`,
    openTimelock: `0x${'09'.repeat(20)}`,
  }),
  OPERATOR_KEY: `0x${'11'.repeat(32)}`,
  WORKER_TOKEN,
  TEXTS_KEY: `0x${'22'.repeat(32)}`,
}

// Otherwise every start asks the internet for a sample of `request.cf` and waits for the answer.
process.env['CLOUDFLARE_CF_FETCH_ENABLED'] = 'false'
process.env['WRANGLER_SEND_METRICS'] = 'false'

export type Edge = {
  harness: TestHarness
  worker: WorkerHandle
  /**
   * Asks the Worker, at a path or at any origin. It goes to the Worker's own runtime: the proxy that `harness.fetch` and the
   * harness's URL reach it through keeps idle connections for the five seconds after which workerd closes them, and a POST
   * that meets the closing one is answered "Network connection lost".
   */
  fetch: (url: string, init?: RequestInit) => Promise<Response>
}

/** Starts the really built Worker of wrangler.toml with empty stores and migrated D1. Close with `edge.harness.close()`. */
export async function startEdge(vars: Record<string, string> = {}): Promise<Edge> {
  const harness = createTestHarness({
    workers: [
      { configPath: new URL('../../wrangler.toml', import.meta.url), vars: { ...VARS, ...vars } },
    ],
  })
  await harness.listen()
  const worker = harness.getWorker()
  await worker.applyD1Migrations('DB')
  return {
    harness,
    worker,
    fetch: (url, init) => worker.fetch(url, init as never) as unknown as Promise<Response>,
  }
}

/** Polls until `read` gives something, at most `timeoutMs`; for work that queues and alarms do. */
export async function eventually<T>(
  read: () => Promise<T | null | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const until = Date.now() + timeoutMs
  for (;;) {
    const value = await read()
    if (value) return value
    if (Date.now() > until) throw new Error(`nothing came within ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
