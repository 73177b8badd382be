import { parseArgs } from 'node:util'
import { z } from 'zod'
import { loadBaseModel } from '#gpu-worker/base-model.ts'
import { loraOf } from '#gpu-worker/training/lora-training.ts'
import { measureContributors } from './attribution/contributors.ts'
import { scanFigures } from './attribution/cost.ts'
import { DATASETS } from './attribution/datasets.ts'
import { measureFacts } from './attribution/facts.ts'
import { measureLds } from './attribution/lds.ts'
import { measureMislabelled } from './attribution/mislabelled.ts'
import { openSource } from './attribution/ours.ts'
import { measureRemoval } from './attribution/removal.ts'
import { METHOD } from './attribution/retraining.ts'
import { measureRetrieval } from './attribution/retrieval.ts'
import { measureThreshold } from './attribution/threshold.ts'
import type { Bench } from './attribution/scored.ts'
import { runParts, type Figure } from './report.ts'

/**
 * Does attribution predict what training without the data gives, and does it find what it should? `npm run
 * bench:attribution -- --data DIR` measures every part beside the field's methods; `--only NAME`, as often as wanted, some of
 * them. Retrainings on record are used; `--retrain` makes the missing ones first, in two processes, one to two quiet hours
 * from nothing, and may be stopped and repeated. `--quick` takes less of each; `--npy DIR` also writes gradients and truth
 * for other tools, such as attribution/dattri_lds.py.
 */
const { values: flags } = parseArgs({
  options: {
    data: { type: 'string' },
    npy: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    retrain: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const data = flags.data ?? process.env['OPENLEDGER_DATA']
if (data === undefined)
  refuse('bench:attribution needs --data DIR: the folder of MedQuAD, CUAD and TAT-QA')

const PARTS = [
  ...DATASETS,
  'threshold',
  'contributors',
  'removal',
  'mislabelled',
  'facts',
  'retrieval',
  'scan',
] as const
const only = z.enum(PARTS).array().safeParse(flags.only)
if (!only.success) refuse(`--only takes one of ${PARTS.join(', ')}`)
const chosen = PARTS.filter((part) => only.data.length === 0 || only.data.includes(part))

const base = await loadBaseModel('gpu-worker/models/openledger-5m')
const source = await openSource(base, loraOf(METHOD))
const bench: Bench = {
  base,
  source,
  data,
  isRetraining: flags.retrain,
  isQuick: flags.quick,
}
const ldsOf = (name: (typeof DATASETS)[number]) => () => measureLds(bench, name, flags.npy ?? null)
const parts: Record<(typeof PARTS)[number], () => Promise<Figure[]>> = {
  medquad: ldsOf('medquad'),
  cuad: ldsOf('cuad'),
  tatqa: ldsOf('tatqa'),
  threshold: () => measureThreshold(bench),
  contributors: () => measureContributors(bench),
  removal: () => measureRemoval(bench),
  mislabelled: () => measureMislabelled(bench),
  facts: () => measureFacts(bench),
  retrieval: () => measureRetrieval(bench),
  scan: async () => scanFigures(flags.quick ? 200_000 : 1_000_000),
}
await runParts('attribution', flags, Object.fromEntries(chosen.map((part) => [part, parts[part]])))
await source.release()

function refuse(why: string): never {
  process.stderr.write(`${why}\n`)
  process.exit(2)
}
