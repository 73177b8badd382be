/** Checks every epoch as it is settled and says what is wrong. May be killed at any time: the chain and the state file say where to go on. */
import type { Hex } from '#protocol/bytes.ts'
import type { EpochFile } from '#protocol/epoch.ts'
import { pause } from '../blobs.ts'
import type { ChainFacts, Submission } from './chain-facts.ts'
import { readEpoch } from './check-epoch.ts'
import type { PublishedFiles } from './published-files.ts'
import type { EpochReport, Validator } from './validator.ts'
import { openWatchState, type WatchState } from './watch-state.ts'

export type WatchOptions = {
  facts: ChainFacts
  files: PublishedFiles
  validator: Validator
  state: WatchState
  onReport: (report: EpochReport, file: EpochFile | null) => void
  /** What keeps it from going on, such as a chain that does not answer; it tries again. */
  onTrouble: (error: unknown) => void
  signal: AbortSignal
  /** Ends after one look at everything there is. */
  once: boolean
  everyMs: number
}

/** Watches until the signal aborts, or through one round; resolves to the number of epochs with findings in it. */
export async function watch(options: WatchOptions): Promise<number> {
  const { signal, once, everyMs, onTrouble } = options
  for (;;) {
    try {
      const faulty = await round(options)
      if (once) return faulty
    } catch (error) {
      if (once || signal.aborted) throw error
      onTrouble(error)
    }
    await pause(everyMs, signal).catch(() => {})
    if (signal.aborted) return 0
  }
}

/** One look at every epoch, in order. One with findings is checked again as long as it can be disabled. */
async function round({
  facts,
  files,
  validator,
  state,
  onReport,
  signal,
}: WatchOptions): Promise<number> {
  let faulty = 0
  let previous: Previous = null
  for (const submission of await facts.submissions()) {
    signal.throwIfAborted()
    const { epoch, dataHash } = submission
    const status = await facts.statusOf(epoch)
    if (status === 'disabled' || status === 'none') continue
    const known = state.checked(epoch, dataHash)
    if (known && (known.findings === 0 || status !== 'pending')) {
      previous = { submission, file: null }
      if (known.findings > 0) faulty++
      continue
    }
    const previousFile = await fileOf(files, previous)
    const before = previous && !previousFile ? null : payoutsOf(previousFile)
    const settledIn = (requestId: Hex) => state.settledIn(requestId, epoch)
    const { report, file } = await validator.epoch(submission, { before, settledIn })
    onReport(report, file)
    // An epoch whose file cannot be had now is looked at again.
    if (file)
      state.save(
        epoch,
        dataHash,
        report.findings.length,
        file.receipts.map(({ receipt }) => receipt.requestId),
      )
    previous = { submission, file }
    if (report.findings.length > 0) faulty++
  }
  return faulty
}

type Previous = { submission: Submission; file: EpochFile | null } | null

/** The file of the epoch before; null when there is none, or it is nowhere. */
async function fileOf(files: PublishedFiles, previous: Previous): Promise<EpochFile | null> {
  return previous && (previous.file ?? readAgain(files, previous.submission))
}

const payoutsOf = (file: EpochFile | null): ReadonlyMap<Hex, bigint> =>
  new Map(file?.payouts.map(({ account, amount }) => [account, amount]))

async function readAgain(files: PublishedFiles, submission: Submission): Promise<EpochFile | null> {
  const found = await files.epochFile(submission).catch(() => null)
  if (!found) return null
  const file = readEpoch(found.bytes)
  return 'holds' in file ? null : file
}

/** An epoch that was checked; `file` is null when it is nowhere or cannot be read. */
export type Audited = { report: EpochReport; file: EpochFile | null }

/** Checks everything that is settled now, from public data. */
export async function auditEpochs(
  checking: Pick<WatchOptions, 'facts' | 'files' | 'validator'>,
): Promise<Audited[]> {
  const audited: Audited[] = []
  const state = openWatchState(':memory:')
  try {
    await watch({
      ...checking,
      state,
      onReport: (report, file) => audited.push({ report, file }),
      onTrouble: () => {},
      signal: new AbortController().signal,
      once: true,
      everyMs: 0,
    })
  } finally {
    state.close()
  }
  return audited
}
