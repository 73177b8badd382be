/**
 * From what a validator found to the transactions that show it. Every proof is built from public data; whether it proves
 * anything is for the contract to say, so a finding may have several, and whoever sends them tries them first.
 */
import type { Hex } from '#protocol/bytes.ts'
import {
  challengeCitations,
  challengeCredit,
  challengeCredits,
  challengeDraws,
  challengeEquivocation,
  challengeListing,
  challengeModel,
  challengeOmission,
  challengePayouts,
  challengeReplay,
  challengeScore,
  challengeShares,
  challengeSpan,
  challengeTotal,
  type Call,
  type Demanded,
  type Disputed,
  type IndexedRow,
} from '#protocol/challenge.ts'
import { PART, type EpochFile } from '#protocol/epoch.ts'
import { creditsTree } from '#protocol/ledgers.ts'
import type { Paid } from '#protocol/proof.ts'
import { hiddenIn } from './check-epoch.ts'
import type { CheckName, Place } from './checks.ts'
import type { Submission } from './chain-facts.ts'
import type { OpenIndex } from './open-index.ts'
import type { Finding, Validator } from './validator.ts'

/** What is known of an epoch with findings. */
export type Faulty = {
  submission: Submission
  /** Null when it is nowhere, or cannot be read. */
  file: EpochFile | null
  /** Payouts of the epoch before; null when there is none. */
  previous: Paid | null
  /** What the chain drew for it. */
  draws: EpochFile['draws']
  findings: readonly Finding[]
  /** Where an earlier epoch settled a request. */
  earlier: (requestId: Hex) => Promise<Disputed | null>
  validator: Pick<Validator, 'index' | 'texts'>
}

/** Builds a proof; throws an Error when the file holds what no contract takes, or names what is not there. */
export type Proof = () => Call

type Known = Omit<Faulty, 'file'> & { file: EpochFile }
type Prover = (known: Known, place: Place) => Proof[] | Promise<Proof[]>

/** The proofs of a finding; none when it is not for one transaction to show, or its file is nowhere. */
export async function proofsOf(
  { name, receipt, place }: Finding,
  faulty: Faulty,
): Promise<Proof[]> {
  const prover = PROVERS[name]
  const { file } = faulty
  if (!prover || !file) return []
  return prover({ ...faulty, file }, { ...(receipt !== null && { receipt }), ...place })
}

const disputedAt = ({ file }: Known, { receipt = 0 }: Place): Disputed => ({ file, receipt })

const shares: Prover = ({ file, ...known }, place) => {
  const disputed = disputedAt({ file, ...known }, place)
  const rows = file.receipts[disputed.receipt]?.receipt.rows ?? []
  return [
    () => challengeShares(disputed),
    () => challengeCitations(disputed),
    ...rows.map((_, position) => () => challengeListing(disputed, position)),
  ]
}

const score: Prover = async (known, place) => {
  const { row = 0, indexRow = 0 } = place
  const index = await indexOf(known, place)
  return index
    ? [() => challengeScore(disputedAt(known, place), row, indexedRow(index, indexRow))]
    : []
}

const PROVERS: Partial<Record<CheckName, Prover>> = {
  treasuries: ({ file }, { receipt = 0 }) => {
    const { platform, stakers } = file.treasuries
    return [PART.platform, PART.stakers].map((part) => () => {
      const account = part === PART.platform ? platform : stakers
      const position = creditsTree(file).leaves.findIndex(
        (credit) =>
          credit.account === account && credit.receipt === receipt && credit.part === part,
      )
      return challengeCredit(file, position)
    })
  },

  order: ({ file, draws }, { receipt, payout }) => [
    ...(receipt === undefined ? [] : [() => challengeDraws(file, receipt, draws)]),
    ...(payout === undefined ? [] : [() => challengePayouts(file, payout)]),
  ],

  draws: ({ file, draws }, { receipt = 0 }) => [() => challengeDraws(file, receipt, draws)],

  payouts: ({ file, previous }, { account }) =>
    account === undefined
      ? []
      : [
          () => challengeTotal(file, previous, account),
          () =>
            challengeCredits(
              file,
              previous,
              creditsTree(file).leaves.findIndex((credit) => credit.account === account),
            ),
        ],

  repeated: async (known, place) => {
    const disputed = disputedAt(known, place)
    const signed = known.file.receipts[disputed.receipt]
    const earlier = signed && (await known.earlier(signed.receipt.requestId))
    return earlier
      ? [() => challengeReplay(disputed, earlier), ...equivocation(disputed, earlier)]
      : []
  },

  equivocation: (known, { other = 0, ...place }) =>
    equivocation(disputedAt(known, place), { file: known.file, receipt: other }),

  model: (known, place) => [() => challengeModel(disputedAt(known, place))],
  sums: shares,
  shares,
  rows: score,
  scores: score,

  omission: async (known, place) => {
    const index = await indexOf(known, place)
    return index
      ? [() => challengeOmission(disputedAt(known, place), indexedRow(index, place.indexRow ?? 0))]
      : []
  },

  // Of another length than the rows, it compares with none of them.
  query: async (known, place) => {
    const disputed = disputedAt(known, place)
    const index = await indexOf(known, place)
    if (!index) return []
    const [listed] = known.file.receipts[disputed.receipt]?.receipt.rows ?? []
    const row = index.rows.findIndex(({ record }) => record === listed?.record)
    return [
      () => challengeScore(disputed, 0, indexedRow(index, row)),
      // A few, because a row that was revoked convicts nobody.
      ...index.rows
        .slice(0, 8)
        .map((_, other) => () => challengeOmission(disputed, indexedRow(index, other))),
    ]
  },

  spans: async (known, place) => {
    const { row: position = 0, span = 0, indexRow = 0, offset = 0 } = place
    const disputed = disputedAt(known, place)
    const signed = known.file.receipts[disputed.receipt]
    const index = await indexOf(known, place)
    if (!index || !signed) return []
    const texts = await known.validator.texts(signed.receipt.requestId)
    return [
      () =>
        challengeSpan(
          disputed,
          { position, span, offset },
          { rows: index.rows, row: indexRow },
          // A span that reaches too far needs no words.
          { answer: texts?.tokens ?? [], record: index.tokensOf(indexRow) },
        ),
    ]
  },
}

/** Both in the epoch that it disables and, when that is disabled already, for the worker's stake alone. */
function equivocation(disputed: Disputed, { file, receipt }: Disputed): Proof[] {
  const other = file.receipts[receipt]
  return other
    ? [true, false].map((inEpoch) => () => challengeEquivocation(disputed, other, { inEpoch }))
    : []
}

async function indexOf(
  { file, validator }: Known,
  { receipt = 0 }: Place,
): Promise<OpenIndex | null> {
  const signed = file.receipts[receipt]
  const index = signed ? await validator.index(signed.receipt) : null
  return index instanceof Error ? null : index
}

const indexedRow = (index: OpenIndex, row: number): IndexedRow => ({
  rows: index.rows,
  row,
  vector: index.vectors.vector(row),
})

/**
 * What to demand for the findings that nothing else shows. Of what the file does not hold, the leaf that `choose` picks out
 * of so many; of a receipt whose query or index is not published, the receipt or the listed row.
 */
export function demandsOf(
  { submission, file, findings }: Pick<Faulty, 'submission' | 'file' | 'findings'>,
  choose: (count: number) => number,
): Demanded[] {
  const counts = {
    receipt: submission.receipts,
    credit: submission.credits,
    payout: submission.payouts,
  }
  const hidden = hiddenIn(submission, file)
    .filter((kind) => counts[kind] > 0)
    .map((kind) => ({ kind, index: choose(counts[kind]), position: 0 }))
  // What is not in the file at all says nothing about its receipts.
  if (hidden.some(({ kind }) => kind === 'receipt')) return hidden
  return [
    ...hidden,
    ...findings.flatMap(({ name, receipt, place }): Demanded[] => {
      if (receipt === null) return []
      if (name === 'query') return [{ kind: 'receipt', index: receipt, position: 0 }]
      if (name === 'index' || name === 'unlisted')
        return [{ kind: 'indexRow', index: receipt, position: place?.row ?? 0 }]
      return []
    }),
  ]
}
