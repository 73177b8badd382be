import type { Hex } from '#protocol/bytes.ts'
import type { LedgerTx } from './ledger.ts'

/** Wei of one account of the ledger. */
export type Sum = { account: Hex; amount: bigint }

export type LedgerState = {
  /** Block of the chain up to which logs are posted; -1 before the first. */
  block: number
  /** Newest epoch that stands, and how many do. */
  epoch: number
  epochs: number
  /** Wei that standing epochs drew from payers, and credited to earners. */
  drawn: bigint
  credited: bigint
  /** Fees of the receipts in standing epochs. */
  fees: bigint
  /** Wei of epochs that are disabled and not refunded. */
  disputed: bigint
  /** Prepaid wei per payer. */
  payers: Sum[]
  /** Wei that standing epochs granted per earner, and wei that each has claimed; sorted by address. */
  earners: Sum[]
  claims: Sum[]
}

/** Everything the ledger says. */
export async function ledgerState(tx: LedgerTx): Promise<LedgerState> {
  const [head] = await tx<{ posted: string }[]>`SELECT posted FROM chain_head`
  const [epochs] = await tx<{ newest: string; count: number }[]>`
    SELECT coalesce(max(epoch), 0) AS newest, count(*)::int AS count FROM ledger_standing t
    WHERE kind = 'epoch' AND NOT EXISTS (
      SELECT FROM ledger_standing d WHERE d.kind = 'disable' AND d.epoch = t.epoch AND d.id > t.id)`
  const [fees] = await tx<{ fee: string }[]>`
    SELECT coalesce(sum(fee), 0)::text AS fee FROM settled_receipt`
  const sums = await tx<{ kind: string; about: string; account: Hex; amount: string }[]>`
    SELECT a.kind, t.kind AS about, address AS account, sum(amount)::text AS amount
    FROM ledger_entry e JOIN ledger_account a ON a.id = account_id
    JOIN ledger_standing t ON t.id = transaction_id
    GROUP BY a.kind, t.kind, address ORDER BY address`
  const of = (kind: string, ...about: string[]) =>
    sums.filter((sum) => sum.kind === kind && (about.length === 0 || about.includes(sum.about)))
  const drawn = -total(of('payer', 'epoch', 'refund'))
  const disputed = total(of('disputed'))
  return {
    block: Number(head?.posted ?? -1),
    epoch: Number(epochs?.newest ?? 0),
    epochs: epochs?.count ?? 0,
    drawn: drawn - disputed,
    credited: total(of('earner', 'epoch', 'disable')),
    fees: BigInt(fees?.fee ?? 0),
    disputed,
    payers: byAccount(of('payer')),
    earners: byAccount(of('earner', 'epoch', 'disable')),
    claims: byAccount(of('earner', 'claim')).map((sum) => ({ ...sum, amount: -sum.amount })),
  }
}

const total = (sums: readonly { amount: string }[]): bigint =>
  sums.reduce((sum, { amount }) => sum + BigInt(amount), 0n)

/** Sums per account, in the order of the rows; those of zero are left out. */
function byAccount(rows: readonly { account: Hex; amount: string }[]): Sum[] {
  const sums = new Map<Hex, bigint>()
  for (const { account, amount } of rows)
    sums.set(account, (sums.get(account) ?? 0n) + BigInt(amount))
  return [...sums]
    .filter(([, amount]) => amount !== 0n)
    .map(([account, amount]) => ({ account, amount }))
}
