import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { edgePart } from '#stack/edge.ts'
import { createSupervisor, type PartSpec } from '#stack/processes.ts'
import { ROOT } from '#stack/settings.ts'
import type { Person } from '#stack/sample/cast.ts'
import type { Stack } from '#stack/stack.ts'
import { figure, quantile, type Figure } from '../report.ts'

const CONCURRENCY = 8
const RECORDS = 8 // per submission, about 2 KB

type Target = { name: string; send: () => Promise<Response> }
type Sample = { perSecond: number[]; latencies: number[] }

/**
 * The accept path of contributions against a bare Hono handler that writes to R2, both under `wrangler dev`, in turns.
 * The edge runs without its queue consumers meanwhile: on Cloudflare they run elsewhere, here they would share the
 * one thread. What was accepted waits in the inbox.
 */
export async function benchAccept(
  stack: Stack,
  {
    person,
    datanetId,
    port,
    quick,
  }: { person: Person; datanetId: string; port: number; quick: boolean },
): Promise<Figure[]> {
  const [rounds, perRound] = quick ? [3, 80] : [7, 200]
  await stack.parts.edge.stop()
  const supervisor = createSupervisor({
    logDir: stack.dirs.logs,
    say: (line) => process.stderr.write(`${line}\n`),
    onFatal: (error) => {
      throw error
    },
  })
  await supervisor.run(
    edgePart({
      ...stack,
      epochSeconds: 60,
      config: withoutConsumers(stack.dirs.root),
    }),
  )
  await supervisor.run(barePart(stack, port))
  const metadata = JSON.stringify({
    source: 'bench',
    intended_use: 'bench',
    licence: 'CC0-1.0',
    context: 'bench',
  })
  const ours: Target = {
    name: 'accept path',
    send: () =>
      fetch(`${stack.urls.edge}/v1/datanets/${datanetId}/contributions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${person.apiKey}`,
          'content-type': 'application/x-ndjson',
          'x-openledger-metadata': metadata,
        },
        body: body(),
      }),
  }
  const reference: Target = {
    name: 'bare Hono + R2',
    send: () => fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: body() }),
  }
  try {
    await burst(ours, perRound / 4)
    await burst(reference, perRound / 4)
    const samples = new Map<Target, Sample>(
      [ours, reference].map((target) => [target, { perSecond: [], latencies: [] }]),
    )
    for (let round = 0; round < rounds; round++)
      for (const [target, sample] of samples) {
        const { seconds, latencies } = await burst(target, perRound)
        sample.perSecond.push(perRound / seconds)
        sample.latencies.push(...latencies)
      }
    const [mine, theirs] = [samples.get(ours), samples.get(reference)] as [Sample, Sample]
    const against = (value: number) => ({ value, name: reference.name })
    return [
      figure(
        { name: 'submissions accepted', unit: '/s', better: 'higher' },
        quantile(mine.perSecond, 0.5),
        against(quantile(theirs.perSecond, 0.5)),
      ),
      ...[0.5, 0.99].map((share) =>
        figure(
          { name: `accept path p${share * 100}`, unit: 'ms', better: 'lower' },
          quantile(mine.latencies, share),
          against(quantile(theirs.latencies, share)),
        ),
      ),
    ]
  } finally {
    await supervisor.stopAll()
  }
}

/** Records that nobody sent before. */
const body = () =>
  Array.from(
    { length: RECORDS },
    () =>
      `${JSON.stringify({ text: `${crypto.randomUUID()} ${'a clause of a licence '.repeat(10)}` })}\n`,
  ).join('')

/** Sends `count` requests, CONCURRENCY at a time. */
async function burst(
  target: Target,
  count: number,
): Promise<{ seconds: number; latencies: number[] }> {
  const latencies: number[] = []
  let left = Math.round(count)
  const started = performance.now()
  const sender = async () => {
    while (left-- > 0) {
      const at = performance.now()
      const response = await target.send()
      if (response.status !== 202)
        throw new Error(`${target.name}: ${response.status} ${await response.text()}`)
      await response.arrayBuffer()
      latencies.push(performance.now() - at)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, sender))
  return { seconds: (performance.now() - started) / 1000, latencies }
}

/** wrangler.toml without its queue consumers, as a file. */
function withoutConsumers(dir: string): string {
  const config = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8')
    .split(/^(?=\[)/m)
    .filter((section) => !section.startsWith('[[queues.consumers]]'))
    .join('')
    .replace(/^main = "(.*)"$/m, (_line, main: string) => `main = "${join(ROOT, main)}"`)
  const path = join(dir, 'bench.toml')
  writeFileSync(path, config)
  return path
}

const barePart = (stack: Stack, port: number): PartSpec => ({
  name: 'bare',
  command: process.execPath,
  args: [
    join(ROOT, 'node_modules/wrangler/bin/wrangler.js'),
    'dev',
    `--config=${fileURLToPath(new URL('bare.toml', import.meta.url))}`,
    '--local',
    '--ip=127.0.0.1',
    `--port=${port}`,
    `--inspector-port=${port + 1}`,
    `--persist-to=${join(stack.dirs.edge, 'bare')}`,
    '--show-interactive-dev-session=false',
  ],
  env: { WRANGLER_SEND_METRICS: 'false', CLOUDFLARE_CF_FETCH_ENABLED: 'false', CI: '1' },
  ports: [port, port + 1],
  ready: async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok,
})
