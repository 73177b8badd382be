/** `npm run pretrain -- --data DIR --out DIR [--minutes N | --tokens N]`: trains `openledger-5m` from the public corpora. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { pretrain } from './pretrain.ts'
import { OPENLEDGER_5M } from './recipe.ts'
import { FILES } from './sources.ts'

const USAGE = `usage: npm run pretrain -- --data DIR --out DIR [--minutes N | --tokens N]
  --data     folder with ${Object.values(FILES).join(', ')} (default: OPENLEDGER_PRETRAIN_DATA)
  --out      gets model/, checkpoint/ and log.jsonl; an interrupted run continues there
  --minutes  wall-clock budget (default: 60)
  --tokens   token budget instead: then a resumed run equals an uninterrupted one bit for bit`

const CHECKPOINT_MS = 4 * 60_000
const EVALUATION_BATCHES = 2

const settings = z
  .object({
    data: z.string({ error: '--data or OPENLEDGER_PRETRAIN_DATA is needed' }),
    out: z.string({ error: '--out is needed' }),
    minutes: z.coerce.number().positive().optional(),
    tokens: z.coerce.number().int().positive().optional(),
  })
  .refine((s) => s.minutes === undefined || s.tokens === undefined, 'either --minutes or --tokens')

const text = { type: 'string' } as const
const { values } = parseArgs({ options: { data: text, out: text, minutes: text, tokens: text } })
const parsed = settings.safeParse({
  ...values,
  data: values.data ?? process.env['OPENLEDGER_PRETRAIN_DATA'],
})
const fault = parsed.success
  ? Object.values(FILES)
      .map((file) => join(parsed.data.data, file))
      .filter((path) => !existsSync(path))
      .map((path) => `missing: ${path}`)
      .join('\n')
  : z.prettifyError(parsed.error)
if (!parsed.success || fault !== '') {
  console.error(`${fault}\n${USAGE}`)
  process.exit(2)
}

const { data, out, minutes = 60, tokens } = parsed.data
const abort = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort())
const result = await pretrain({
  dataDir: data,
  outDir: out,
  recipe: OPENLEDGER_5M,
  budget: tokens === undefined ? { minutes } : { tokens },
  checkpointMs: CHECKPOINT_MS,
  evaluationBatches: EVALUATION_BATCHES,
  signal: abort.signal,
  onProgress: (line) => console.log(`${new Date().toISOString()} ${line}`),
})
console.log(JSON.stringify(result))
