import { DEV } from '#stack/accounts.ts'
import { chainPart, chainReader, localChain } from '#stack/chain.ts'
import { createSupervisor } from '#stack/processes.ts'
import { forge } from '../../contracts/script/forge.ts'
import { benchChallenges } from './chain/challenges.ts'
import { benchClaims, type Claimable } from './chain/claims.ts'
import { benchBuild, benchEpochs } from './chain/epochs.ts'
import { benchLatency } from './chain/latency.ts'
import { benchReceipts } from './loop/receipts.ts'
import { benchFlags, runParts } from './report.ts'
import { scratchFolder } from '../support/scratch.ts'

/**
 * What settlement costs and how fast it is: `npm run bench:chain [-- --quick] [-- --json]`. Gas is the same on every
 * machine, however busy.
 */

const PORT = 24_050
const SIZES = [100, 1_000, 10_000]

const flags = benchFlags(process.argv.slice(2))
const dir = scratchFolder()
const supervisor = createSupervisor({
  logDir: dir,
  say: (line) => process.stderr.write(`${line}\n`),
  onFatal: (error) => {
    throw error
  },
})
try {
  if (forge(['build', '--quiet']) !== 0) throw new Error('the contracts do not compile')
  await supervisor.run(chainPart(dir, PORT))
  const rpcUrl = `http://127.0.0.1:${PORT}`
  const reader = chainReader(rpcUrl)
  const wallet = { account: DEV.governance, chain: localChain(rpcUrl), rpcUrl, reader }
  let claimable: Claimable | undefined
  await runParts('chain', flags, {
    epochs: async () => {
      const found = await benchEpochs(wallet, flags.quick ? SIZES.slice(0, 2) : SIZES)
      claimable = found.claimable
      return found.figures
    },
    claims: async () => {
      if (!claimable) throw new Error('there are no epochs to claim against')
      return benchClaims(wallet, claimable)
    },
    challenges: benchChallenges,
    'receipts into the batcher': async () => {
      await supervisor.stopAll() // what follows is timed
      return benchReceipts(flags)
    },
    'an epoch, built and published': () => benchBuild(flags),
    'receipt to claimable': () => benchLatency(flags),
  })
} finally {
  await supervisor.stopAll()
}
