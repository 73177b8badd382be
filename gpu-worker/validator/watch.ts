/**
 * Checks every epoch as it is settled, says what is wrong, and with a challenger acts on it. May be killed at any time: the
 * chain and the state file say where to go on. A round costs what is new: it looks at blocks that are not final yet or came
 * since, and at epochs that are not done with.
 */
import type { Hex } from '#protocol/bytes.ts'
import type { Disputed } from '#protocol/challenge.ts'
import { messageOf } from '#protocol/errors.ts'
import type { EpochFile } from '#protocol/epoch.ts'
import type { Paid } from '#protocol/proof.ts'
import { pause } from '../blobs.ts'
import type { Actor, Outcome } from './actor.ts'
import { approve, withdrawOwed } from './attest.ts'
import type { ChainFacts, Submission } from './chain-facts.ts'
import type { Challenger } from './challenger.ts'
import { followDemands } from './demands.ts'
import type { PublishedFiles } from './published-files.ts'
import type { EpochReport, Validator } from './validator.ts'
import { openWatchState, type WatchState } from './watch-state.ts'

export type WatchOptions = {
  facts: ChainFacts
  files: PublishedFiles
  validator: Validator
  state: WatchState
  /** Absent: nothing is done about what is found. */
  acting?: { actor: Actor; challenger: Challenger } | undefined
  onReport: (report: EpochReport, file: EpochFile | null) => void
  onOutcome?: (outcome: Outcome) => void
  /** What keeps it from going on, such as a chain that does not answer, or from checking one epoch; it tries again. */
  onTrouble: (error: unknown) => void
  signal: AbortSignal
  /** Ends after one look at everything there is. */
  once: boolean
  everyMs: number
}

/**
 * Watches until the signal aborts, or through one round; resolves to the number of epochs with findings in it, and of epochs
 * and demands that trouble kept it from.
 */
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

/** One look at what came since the last one, in order, and at epochs with findings for as long as they can be disabled. */
async function round(options: WatchOptions): Promise<number> {
  const { facts, state, acting, onOutcome = () => {}, onTrouble, signal } = options
  const place = state.place()
  const { submissions, final } = await facts.submissions(place)
  let faulty = 0
  let next = final + 1n
  let isWhole = true
  const skip = (error: unknown) => {
    faulty++
    onTrouble(error)
  }
  for (const submission of submissions) {
    signal.throwIfAborted()
    const { epoch, block } = submission
    // Each on its own: whoever publishes an epoch that makes checking fail must not have those after it go unseen.
    const { hasFindings, isDone } = await look(options, submission, isWhole).catch((error) => {
      signal.throwIfAborted()
      skip(new Error(`epoch ${epoch}: ${messageOf(error)}`, { cause: error }))
      return { hasFindings: false, isDone: false }
    })
    if (hasFindings) faulty++
    if (!isDone && block < next) next = block
    if (!isDone && !state.checked(epoch)) isWhole = false
  }
  if (acting) {
    const honestFile = async (epoch: number, dataHash: Hex) => {
      const known = state.checked(epoch)
      return known?.findings === 0 && known.dataHash === dataHash ? fileAt(options, epoch) : null
    }
    const demands = await followDemands(
      { ...options, ...acting, honestFile, onTrouble: skip },
      place,
    )
    for (const outcome of [...demands, ...(await withdrawOwed(acting.actor))]) onOutcome(outcome)
  }
  state.setPlace(next)
  return faulty
}

/**
 * Looks at an epoch unless that is done, and does something about it; done: no later round has to look again. `isWhole`: all
 * epochs before it have been checked. Of one that could not be, nothing is carried on: no payouts to compare with and no
 * requests, neither its own nor those of what stood under its number. So what comes after it can only lack findings, never
 * have false ones to demand or vote on; nor is it approved, which is a vote too. Once the other has been checked, this is again.
 */
async function look(
  options: WatchOptions,
  submission: Submission,
  isWhole: boolean,
): Promise<{ hasFindings: boolean; isDone: boolean }> {
  const { facts, validator, state, acting, onReport, onOutcome = () => {} } = options
  const { epoch, dataHash, commitment } = submission
  const known = state.checked(epoch)
  const isKnown = known?.dataHash === dataHash
  if (known && !isKnown) state.forget(epoch)
  if (isKnown && known.findings === 0) return { hasFindings: false, isDone: true }
  const status = await facts.statusOf(epoch)
  const isPending = status === 'pending'
  if (status === 'disabled' || status === 'none') return { hasFindings: false, isDone: true }
  if (isKnown && !isPending) return { hasFindings: true, isDone: true }

  const previous = await payoutsAt(options, epoch - 1)
  const before = epoch > 1 && !previous ? null : payoutsOf(previous)
  const settledIn = (requestId: Hex) => state.settledIn(requestId, epoch)
  const { report, file } = await validator.epoch(submission, { before, settledIn })
  const { findings } = report
  const isRight = findings.length === 0
  if (!isKnown || known.findings !== findings.length) onReport(report, file)
  const requests = file?.receipts.map(({ receipt }) => receipt.requestId) ?? []
  const remember = () =>
    state.save(epoch, { dataHash, commitment, findings: findings.length }, requests)
  if (!isRight) remember() // whether or not it can be challenged now
  if (acting && isPending) {
    const { actor, challenger } = acting
    if (!isRight) {
      const draws = await facts.draws(submission)
      const earlier = (requestId: Hex) => earlierOf(options, requestId, epoch)
      const faulty = { submission, file, previous, draws, findings, earlier, validator }
      await challenger(faulty, onOutcome)
    } else if (isWhole && before)
      for (const outcome of await approve(actor, submission)) onOutcome(outcome)
  }
  if (isRight) remember() // only now, because it is not looked at again
  return { hasFindings: !isRight, isDone: !isPending || isRight }
}

/** Where an epoch before `before` settled a request; null when it is not known or its file is nowhere. */
async function earlierOf(
  options: WatchOptions,
  requestId: Hex,
  before: number,
): Promise<Disputed | null> {
  const epoch = options.state.settledIn(requestId, before)
  const file = epoch === undefined ? null : await fileAt(options, epoch)
  const receipt = file?.receipts.findIndex((signed) => signed.receipt.requestId === requestId) ?? -1
  return file && epoch !== undefined && receipt >= 0 ? { file: { ...file, epoch }, receipt } : null
}

const payoutsOf = (paid: Paid | null): ReadonlyMap<Hex, bigint> =>
  new Map(paid?.payouts.map(({ account, amount }) => [account, amount]))

type Files = Pick<WatchOptions, 'state' | 'files'>

/** An epoch that was looked at; null when there was none, or it is nowhere or malformed. */
async function fileAt({ state, files }: Files, epoch: number): Promise<EpochFile | null> {
  const known = state.checked(epoch)
  const found = known && (await files.epoch(known).catch(() => null))
  return found && found.file
}

/** Payouts of an epoch that was looked at; null likewise. */
async function payoutsAt({ state, files }: Files, epoch: number): Promise<Paid | null> {
  const known = state.checked(epoch)
  return known && files.payouts(known).catch(() => null)
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
      onTrouble: (error) => {
        throw error
      },
      signal: new AbortController().signal,
      once: true,
      everyMs: 0,
    })
  } finally {
    state.close()
  }
  return audited
}
