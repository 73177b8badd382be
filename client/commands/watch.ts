import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { openActor, type Outcome } from '#gpu-worker/validator/actor.ts'
import { openChallenger } from '#gpu-worker/validator/challenger.ts'
import { openOutbox } from '#gpu-worker/validator/outbox.ts'
import { outcomeText, reportText } from '#gpu-worker/validator/report.ts'
import { openWatchState } from '#gpu-worker/validator/watch-state.ts'
import { watch as watchEpochs } from '#gpu-worker/validator/watch.ts'
import type { EpochReport } from '#gpu-worker/validator/validator.ts'
import { toJson, ZERO_ADDRESS } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import { openChecking } from '../checking.ts'
import { numberOf, UsageError, type Command } from '../command.ts'

const EVERY_SECONDS = 15
const SAMPLE = 0.05

/** Validates every epoch, says what is wrong, and challenges it. */
export const watch: Command = {
  details: `Every settled epoch is fetched from the data-availability layer (or the API's copy) and derived again to the wei; what is wrong
is said with how it can be shown. With a wallet key it is also challenged: by a proof in one transaction, by demanding
what was not published, or by the vote of the wallet's stake (openledger stake); demands of others are answered, right
epochs approved, and what is won is paid out. It may be stopped at any time and goes on where it was. Exit code 1 with
--once when anything was found or could not be looked at.`,
  options: {
    'dry-run': { describe: 'only say what would be sent' },
    once: { describe: 'look at everything there is, then end' },
    every: { value: 'SECONDS', describe: `between two looks (default ${EVERY_SECONDS})` },
    model: { value: 'DIR', describe: 'directory of the base model, to compute gradients again' },
    sample: {
      value: 'SHARE',
      describe: `of receipts whose gradients are computed again, 0 to 1 (default ${SAMPLE})`,
    },
    state: { value: 'FILE', describe: 'what it remembers (default in ~/.local/state/openledger)' },
  },
  run: async ({ settings, input, json, print, write, progress, signal }) => {
    const sample = numberOf(input, 'sample') ?? SAMPLE
    if (sample < 0 || sample > 1) throw new UsageError('--sample needs a share from 0 to 1')
    const { contracts, chainId, chain } = await settings.network()
    const statePath = input.text('state') ?? defaultState(chainId, contracts.attributionSettlement)
    mkdirSync(dirname(statePath), { recursive: true })
    const { facts, files, validator, release } = openChecking(await settings.checked(), {
      modelDir: input.text('model'),
      sample,
    })
    const state = openWatchState(statePath)
    const isDry = input.has('dry-run')
    const account = settings.account()
    const acting = async () => {
      if (!account && !isDry) return undefined
      const outbox =
        isDry || !account ? null : openOutbox({ ...(await settings.wallet()), account }, state)
      // Nobody's transactions can be tried too.
      const actor = openActor({
        chain,
        contracts,
        account: account?.address ?? ZERO_ADDRESS,
        outbox,
      })
      return { actor, challenger: openChallenger(actor, contracts.parameters) }
    }
    const reports: EpochReport[] = []
    const outcomes: Outcome[] = []
    const once = input.has('once')
    // A stream of JSON lines while it runs; one value at the end of a single look.
    const say = (text: string, value: object) => {
      if (!json) write(`${text}\n`)
      else if (!once) process.stdout.write(`${toJson(value)}\n`)
    }
    try {
      const faulty = await watchEpochs({
        facts,
        files,
        validator,
        state,
        acting: await acting(),
        onReport: (report) => {
          reports.push(report)
          say(reportText(report), report)
        },
        onOutcome: (outcome) => {
          outcomes.push(outcome)
          say(outcomeText(outcome), outcome)
        },
        onTrouble: (error) =>
          progress.print(`! ${messageOf(error)}${once ? '' : '; trying again'}`),
        signal,
        once,
        everyMs: (numberOf(input, 'every') ?? EVERY_SECONDS) * 1000,
      })
      if (once && json) print('', { reports, outcomes })
      return faulty > 0 && once ? 1 : 0
    } finally {
      state.close()
      await release()
    }
  },
}

const defaultState = (chainId: number, settlement: string): string =>
  join(
    process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local/state'),
    'openledger',
    `watch-${chainId}-${settlement}.sqlite`,
  )
