import { join } from 'node:path'
import { showProgress } from '#client/progress.ts'
import { createCast } from '#stack/sample/cast.ts'
import { startStack } from '#stack/stack.ts'
import { smallPlan } from '../support/stack.ts'
import { benchAccept } from './loop/accept.ts'
import { benchModel } from './loop/model.ts'
import { benchReceipts } from './loop/receipts.ts'
import { benchFlags, printReport } from './report.ts'
import { scratchFolder } from '../support/scratch.ts'

/** Figures of the whole loop, on a stack of its own: `npm run bench:loop [-- --quick] [-- --json]`. */

const PORT_BASE = 24_000

const flags = benchFlags(process.argv.slice(2))
const progress = showProgress(process.stderr)
const stack = await startStack({
  stateDir: join(scratchFolder(), 'state'),
  fresh: true,
  portBase: PORT_BASE,
  say: progress.print,
  onFatal: (error) => {
    throw error
  },
})
try {
  const plan = smallPlan(flags.quick ? 20 : 60)
  plan.hyperparameters = { epochs: 1, sequenceLength: 128 }
  const cast = await createCast(stack, progress, plan, { wallets: {}, runs: 1 })
  const { figures, datanetId } = await benchModel(cast, plan, flags)
  const accept = await benchAccept(stack, {
    person: cast.consumer,
    datanetId,
    port: PORT_BASE + 20,
    quick: flags.quick,
  })
  await stack.stop()
  const receipts = await benchReceipts(flags)
  printReport('loop', [...accept, ...figures, ...receipts], flags)
} finally {
  await stack.stop()
}
