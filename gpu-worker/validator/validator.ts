/**
 * Re-derives settled epochs from public data and says what is wrong with them: what lies behind the commitment on chain,
 * every integer of every receipt, and, for a random sample whose texts the validator may read, the float gradients.
 */
import { randomInt } from 'node:crypto'
import { ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import type { EpochFile } from '#protocol/epoch.ts'
import type { Receipt, ReceiptDomain, SignedReceipt } from '#protocol/receipt.ts'
import { lastTime, poolTime } from '#protocol/presence.ts'
import {
  countAt,
  recordKey,
  revocationOf,
  type RecordKey,
  type RevocationLog,
} from '#protocol/revocations.ts'
import type { KeptTexts } from '#protocol/generation.ts'
import {
  checkAnchored,
  checkEpoch,
  checkPresence,
  checkWorkers,
  type History,
} from './check-epoch.ts'
import { checkReceipt, type ReceiptFacts } from './check-receipt.ts'
import { check, CHECKS, type Check, type CheckName, type Remedy } from './checks.ts'
import type { ChainFacts, ModelFacts, Submission } from './chain-facts.ts'
import { openIndexes, type OpenIndex } from './open-index.ts'
import { NowhereError, type PublishedFiles, type Source } from './published-files.ts'
import type { ReExecution } from './re-execute.ts'

/** A check that failed. `receipt` is its position in the file; null when it concerns the epoch. */
export type Finding = Check & { receipt: number | null; requestId: Hex | null; remedy: Remedy }

export type EpochReport = {
  epoch: number
  dataHash: Hex
  submitter: Hex
  /** Where the epoch was found; null when it is nowhere or malformed. */
  source: Source | null
  receipts: number
  total: bigint
  /** How many checks were made, of all kinds. */
  checks: number
  /** Receipts whose texts were read, and whose gradients were computed again. */
  reExecuted: number
  findings: Finding[]
}

export type Validator = {
  /** Checks one epoch. */
  epoch: (
    submission: Submission,
    history: History,
  ) => Promise<{ report: EpochReport; file: EpochFile | null }>
  /** All that can be checked about one receipt. */
  receipt: (signed: SignedReceipt) => Promise<Check[]>
  /** The index of the adapter that a receipt names; an Error says why it cannot be had, null is a bare base's. */
  index: (receipt: Receipt) => Promise<OpenIndex | Error | null>
  /** Prompt and answer of a request; null when they are not kept or not for us. */
  texts: (requestId: Hex) => Promise<KeptTexts | null>
}

export type ValidatorOptions = {
  facts: ChainFacts
  files: PublishedFiles
  domain: ReceiptDomain
  /** Prompt and answer of a request, null when they are not kept or not for us; absent: none are read. */
  texts?: (requestId: Hex) => Promise<KeptTexts | null>
  /** Absent: no gradient is computed. */
  reExecution?: ReExecution
  /** Share of the receipts whose texts are read, 0 to 1. */
  sample?: number
  onProgress?: (done: number, of: number) => void
}

/** Without these the model would not be run on what the receipt is about. */
const NEEDED_TO_RUN: ReadonlySet<CheckName> = new Set([
  'readable',
  'index',
  'query',
  'prompt',
  'answer',
])

/** Puts a validator together. */
export function openValidator(options: ValidatorOptions): Validator {
  const { facts, files, domain, texts, reExecution, sample = 1, onProgress = () => {} } = options
  const indexOf = openIndexes(files)
  const presences = new Map<string, Promise<Check>>()

  const openIndexOf = async ({ adapter }: Receipt, model: ModelFacts | null) => {
    if (adapter === ZERO_HASH) return null
    return model ? indexOf(adapter, model) : new Error('the adapter is not registered')
  }

  /** An edge that does not give them keeps nobody from checking the rest. */
  const textsOf = async (requestId: Hex): Promise<KeptTexts | null> =>
    texts ? texts(requestId).catch(() => null) : null

  const judge = async (
    signed: SignedReceipt,
    {
      modelOf,
      isRevokedOnChain,
      mayRead,
    }: Pick<ReceiptFacts, 'isRevokedOnChain'> & { modelOf: ChainFacts['model']; mayRead: boolean },
  ): Promise<{ checks: Check[]; ran: boolean }> => {
    const { receipt } = signed
    const [values, model, revocations] = await Promise.all([
      facts.parameters(receipt.paramsHash),
      modelOf(receipt),
      files.revocations().catch((error: unknown) => new Error(messageOf(error))),
    ])
    const isBase = receipt.adapter === ZERO_HASH
    const index = await openIndexOf(receipt, model)
    // Without the log a revoked row would look as if it had been left out wrongly.
    if (revocations instanceof Error)
      return { checks: [check('published', false, revocations.message)], ran: false }
    const kept = mayRead && receipt.stored ? await textsOf(receipt.requestId) : null
    const known = { domain, values, model, index, revocations, isRevokedOnChain, texts: kept }
    const checks = await checkReceipt(signed, known).catch((error: unknown) => [
      check('readable', false, messageOf(error)), // numbers that no contract could take, for instance
    ])
    const isWhole = checks.every(({ name, holds }) => holds || !NEEDED_TO_RUN.has(name))
    if (!isWhole || !kept || !reExecution || !model || !values || isBase)
      return { checks, ran: false }
    const again = await reExecution
      .run(signed, kept, { model, values, revocations })
      .catch((error: unknown) => [check('published', false, messageOf(error))])
    return { checks: [...checks, ...again], ran: true }
  }

  /** The presence tables of a file against the Datanets that its adapters name. */
  const checkPresences = async (
    file: EpochFile,
    modelOf: ChainFacts['model'],
    log: RevocationLog,
  ): Promise<Check[]> => {
    const checks: Check[] = []
    const entries = countAt(log, poolTime(lastTime(file)))
    const isRevoked = (key: RecordKey) => revocationOf(log, key, entries) !== undefined
    for (const presence of file.presence) {
      const user = file.receipts.find(({ receipt }) => receipt.datanets.includes(presence.root))
      const model = user && (await modelOf(user.receipt))
      if (!user || !model) {
        checks.push(check('presence', false, `no receipt names ${presence.root}`))
        continue
      }
      const key = `${presence.root} ${entries} ${JSON.stringify(presence.clusters)}`
      const found =
        presences.get(key) ??
        (async () => {
          const { datanets } = await files.manifest(user.receipt.adapter, model.manifestHash)
          const version = datanets.find(({ root }) => root === presence.root)
          if (!version)
            return check('presence', false, `the adapter does not name ${presence.root}`)
          const rows = await files.versionRows(version.id, version.version)
          return checkPresence(presence, rows, isRevoked)
        })()
      presences.set(key, found)
      checks.push(
        await found.catch((error: unknown) => {
          presences.delete(key) // it may be there later
          return check('published', false, messageOf(error))
        }),
      )
    }
    return checks
  }

  return {
    // Whether a withdrawal was on chain in time is known of an epoch only.
    receipt: async (signed) => {
      const known = { modelOf: facts.model, isRevokedOnChain: () => true, mayRead: true }
      return (await judge(signed, known)).checks
    },
    index: async (receipt) => openIndexOf(receipt, await facts.model(receipt)),
    texts: textsOf,
    epoch: async (submission, history) => {
      const findings: Finding[] = []
      let checks = 0
      const add = (
        found: readonly Check[],
        receipt: number | null = null,
        requestId: Hex | null = null,
      ) => {
        checks += found.length
        for (const one of found)
          if (!one.holds) findings.push({ ...one, receipt, requestId, remedy: CHECKS[one.name] })
      }
      const report = (
        source: Source | null,
        receipts: number,
        reExecuted: number,
      ): EpochReport => ({
        epoch: submission.epoch,
        dataHash: submission.dataHash,
        submitter: submission.submitter,
        source,
        receipts,
        total: submission.total,
        checks,
        reExecuted,
        findings,
      })

      const found = await files.epoch(submission).catch((error: unknown) => {
        add([check(error instanceof NowhereError ? 'available' : 'file', false, messageOf(error))])
        return null
      })
      if (!found) return { report: report(null, 0, 0), file: null }
      add([check('available', true, found.source)])
      const { file: read } = found
      const [draws, treasuries] = await Promise.all([facts.draws(submission), facts.treasuries()])
      add(checkEpoch(submission, read, { domain, draws, treasuries, ...history }))
      // Whatever it calls itself: what it is good for is this epoch of this contract.
      const file: EpochFile = { ...read, ...domain, epoch: submission.epoch }
      const modelOf = askedOnce(facts.model)
      const onChain = await facts.revoked()
      const log = await files.revocations().catch(() => null) // said of each receipt
      if (log) {
        add(await checkPresences(file, modelOf, log))
        add([checkAnchored(file, submission, { log, onChain })])
      }
      const values = await facts.parameters(submission.paramsHash)
      if (values) add([await checkWorkers(file, values['staking.minimum'], facts.stakeAt)])
      const isRevokedOnChain: ReceiptFacts['isRevokedOnChain'] = (key) =>
        (onChain.get(recordKey(key)) ?? Infinity) <= submission.submittedAt
      let reExecuted = 0
      for (const [i, signed] of file.receipts.entries()) {
        const { checks: made, ran } = await judge(signed, {
          modelOf,
          isRevokedOnChain,
          mayRead: isSampled(sample),
        })
        add(made, i, signed.receipt.requestId)
        if (ran) reExecuted++
        onProgress(i + 1, file.receipts.length)
      }
      return { report: report(found.source, file.receipts.length, reExecuted), file }
    },
  }
}

/** Asks the chain once for each model: the receipts of an epoch name few. */
function askedOnce(ask: ChainFacts['model']): ChainFacts['model'] {
  const known = new Map<string, ReturnType<typeof ask>>()
  return (receipt) => {
    const key = `${receipt.base} ${receipt.adapter}`
    const answer = known.get(key) ?? ask(receipt)
    known.set(key, answer)
    return answer
  }
}

const SAMPLE_UNIT = 1_000_000
/** Drawn anew by every validator, so that no worker can know which of its receipts are looked at. */
const isSampled = (share: number): boolean => randomInt(SAMPLE_UNIT) < share * SAMPLE_UNIT
