import { ZERO_ADDRESS, type Hex } from '#protocol/bytes.ts'
import type { Citation, ReceiptRow, SignedReceipt } from '#protocol/receipt.ts'
import type { ChainLog } from '../chain/logs.ts'
import type { DatanetOf } from '../datanets/homes.ts'
import {
  entriesOf,
  forgetReceipts,
  post,
  type Entry,
  type LedgerTx,
  type Posting,
} from './ledger.ts'

/**
 * Which log moves which wei. Every posting follows from the chain and from what epochs publish, whose hash is on the chain,
 * so a ledger that starts empty comes to the same sums.
 */

/** What an epoch pays to whom, and its receipts, some at a time, with what the catalogue says of the records they pay. */
export type SettledEpoch = {
  credits: ReadonlyMap<Hex, bigint>
  receipts: () => AsyncIterable<{ receipts: readonly SignedReceipt[]; datanetOf: DatanetOf }>
}

/** Reads an epoch by the hash and the commitment that are on chain. */
export type ReadEpoch = (dataHash: Hex, commitment: Hex) => Promise<SettledEpoch>

const wei = (log: ChainLog, name: string): bigint => BigInt(log.args[name] as string)
const hex = (log: ChainLog, name: string): Hex => log.args[name] as Hex

/** The epochs that logs speak of, by the hashes that they announce. Throws when one cannot be read. */
export async function epochsOf(
  logs: readonly ChainLog[],
  readEpoch: ReadEpoch,
): Promise<SettledEpochs> {
  const epochs = new Map<Hex, SettledEpoch>()
  for (const log of logs)
    if (log.event === 'EpochSubmitted')
      epochs.set(
        hex(log, 'dataHash'),
        await readEpoch(hex(log, 'dataHash'), hex(log, 'commitment')),
      )
  return epochs
}

export type SettledEpochs = ReadonlyMap<Hex, SettledEpoch>

/** Posts the logs of one transaction of the chain, in their order. Idempotent by block hash and log index. */
export async function postLogs(
  tx: LedgerTx,
  logs: readonly ChainLog[],
  epochs: SettledEpochs,
): Promise<void> {
  for (const log of logs) {
    const poster = POSTERS[`${log.contract}.${log.event}`]
    if (poster) await poster(tx, log, { logs, epochs })
  }
}

type Poster = (
  tx: LedgerTx,
  log: ChainLog,
  given: { logs: readonly ChainLog[]; epochs: SettledEpochs },
) => Promise<void>

const POSTERS: Record<string, Poster> = {
  'inferenceVault.Deposited': async (tx, log) => {
    await post(tx, {
      ...named(log, 'deposit'),
      entries: move(
        wei(log, 'amount'),
        ['outside', hex(log, 'from')],
        ['payer', hex(log, 'account')],
      ),
    })
  },

  'inferenceVault.Withdrawn': async (tx, log) => {
    await post(tx, {
      ...named(log, 'withdrawal'),
      entries: move(
        wei(log, 'amount'),
        ['payer', hex(log, 'account')],
        ['outside', hex(log, 'to')],
      ),
    })
  },

  'attributionSettlement.Claimed': async (tx, log) => {
    await post(tx, {
      ...named(log, 'claim'),
      epoch: Number(log.args['epoch']),
      entries: move(
        wei(log, 'amount'),
        ['earner', hex(log, 'account')],
        ['outside', hex(log, 'to')],
      ),
    })
  },

  'attributionSettlement.EpochSubmitted': async (tx, log, { logs, epochs }) => {
    const epoch = Number(log.args['epoch'])
    const settled = epochs.get(hex(log, 'dataHash'))
    if (!settled) throw new Error(`epoch ${epoch} was not read`)
    const total = wei(log, 'total')
    const credits = [...settled.credits]
    const credited = credits.reduce((sum, [, amount]) => sum + amount, 0n)
    const posted = await post(tx, {
      ...named(log, 'epoch'),
      epoch,
      entries: [
        ...vaultMoves(logs, 'Drawn', epoch).map((entry) => ({ ...entry, amount: -entry.amount })),
        // Receipts that do not pay what was drawn entitle nobody: the epoch can only be disabled.
        ...(credited === total
          ? credits.map(([address, amount]): Entry => ({ kind: 'earner', address, amount }))
          : [disputed(total)]),
      ],
    })
    if (posted) for await (const some of settled.receipts()) await keepReceipts(tx, some, epoch)
  },

  'attributionSettlement.EpochsDisabled': async (tx, log) => {
    for (let epoch = Number(log.args['first']); epoch <= Number(log.args['last']); epoch++) {
      const granted = (await grantsOf(tx, epoch)).filter(({ kind }) => kind === 'earner')
      const total = granted.reduce((sum, { amount }) => sum + amount, 0n)
      await post(tx, {
        ...named(log, 'disable', `:${epoch}`),
        epoch,
        entries: [
          ...granted.map((entry) => ({ ...entry, amount: -entry.amount })),
          disputed(total),
        ],
      })
      await forgetReceipts(tx, epoch)
    }
  },

  'attributionSettlement.EpochRefunded': async (tx, log, { logs }) => {
    const epoch = Number(log.args['epoch'])
    await post(tx, {
      ...named(log, 'refund'),
      epoch,
      entries: [disputed(-wei(log, 'total')), ...vaultMoves(logs, 'Restored', epoch)],
    })
  },
}

/** Every event that moves wei, or says which: `contract.event`. */
export const MONEY_EVENTS = [
  ...Object.keys(POSTERS),
  'inferenceVault.Drawn',
  'inferenceVault.Restored',
]

const named = (
  log: ChainLog,
  kind: Posting['kind'],
  suffix = '',
): Pick<Posting, 'kind' | 'key' | 'block' | 'details'> => ({
  kind,
  key: `${log.blockHash}:${log.logIndex}${suffix}`,
  block: log.block,
  details: { ...log.args, txHash: log.txHash },
})

const move = (
  amount: bigint,
  [fromKind, from]: [Entry['kind'], Hex],
  [toKind, to]: [Entry['kind'], Hex],
): Entry[] => [
  { kind: fromKind, address: from, amount: -amount },
  { kind: toKind, address: to, amount },
]

/** Money of disabled epochs is nobody's until it is refunded. */
const disputed = (amount: bigint): Entry => ({
  kind: 'disputed',
  address: ZERO_ADDRESS,
  amount,
})

/** What the vault says, in the same transaction, that it took from or gave back to payers for an epoch. */
const vaultMoves = (logs: readonly ChainLog[], event: 'Drawn' | 'Restored', epoch: number) =>
  logs
    .filter(
      (log) =>
        log.contract === 'inferenceVault' &&
        log.event === event &&
        Number(log.args['epoch']) === epoch,
    )
    .map((log): Entry => ({
      kind: 'payer',
      address: hex(log, 'payer'),
      amount: wei(log, 'amount'),
    }))

/** Entries of the newest posting of an epoch that still stands. */
async function grantsOf(tx: LedgerTx, epoch: number): Promise<Entry[]> {
  const [posted] = await tx<{ id: string }[]>`
    SELECT id FROM ledger_standing WHERE kind = 'epoch' AND epoch = ${epoch} ORDER BY id DESC LIMIT 1`
  return posted ? entriesOf(tx, posted.id) : []
}

/** What a record is paid for: that it shaped the answer, or that it was quoted for it. */
export const PAID_FOR = ['score', 'citation'] as const
export type PaidFor = (typeof PAID_FOR)[number]

/** Rows for statistics: receipts of an epoch and the records that they paid. */
async function keepReceipts(
  tx: LedgerTx,
  { receipts: signed, datanetOf }: { receipts: readonly SignedReceipt[]; datanetOf: DatanetOf },
  epoch: number,
): Promise<void> {
  const receipts = signed.map(({ receipt }) => ({
    requestId: receipt.requestId,
    payer: receipt.payer,
    worker: receipt.worker,
    base: receipt.base,
    adapter: receipt.adapter,
    promptTokens: receipt.promptTokens,
    completionTokens: receipt.completionTokens,
    fee: receipt.fee.toString(),
    unattributed: receipt.unattributed.toString(),
    time: Number(receipt.time),
  }))
  const rows = signed.flatMap(({ receipt }) => {
    const paid = (
      { cluster, record, contributor, amount }: ReceiptRow | Citation,
      paidFor: PaidFor,
      roots: readonly Hex[],
    ) => ({
      requestId: receipt.requestId,
      cluster,
      record,
      contributor,
      amount: amount.toString(),
      paidFor,
      datanet: datanetOf(record, roots),
    })
    return [
      ...receipt.rows.map((row) => paid(row, 'score', receipt.datanets)),
      ...receipt.citations.map((citation) => paid(citation, 'citation', [citation.datanet])),
    ].filter(({ amount }) => amount !== '0')
  })
  await tx`
    INSERT INTO settled_receipt (request_id, epoch, payer, worker, base, adapter, prompt_tokens,
      completion_tokens, fee, unattributed, made_at)
    SELECT "requestId", ${epoch}, payer, worker, base, adapter, "promptTokens", "completionTokens",
      fee, unattributed, to_timestamp("time")
    FROM json_to_recordset(${JSON.stringify(receipts)}::text::json) AS r ("requestId" text, payer text, worker text,
      base text, adapter text, "promptTokens" bigint, "completionTokens" bigint, fee numeric,
      unattributed numeric, "time" double precision)
    ON CONFLICT DO NOTHING` // a receipt that is in two epochs is reported by the reconciliation
  await tx`
    INSERT INTO paid_record (request_id, cluster, record, contributor, amount, paid_for, datanet)
    SELECT "requestId", cluster, record, contributor, amount, "paidFor", datanet
    FROM json_to_recordset(${JSON.stringify(rows)}::text::json) AS r ("requestId" text, cluster text, record text,
      contributor text, amount numeric, "paidFor" text, datanet text)
    ON CONFLICT DO NOTHING`
}
