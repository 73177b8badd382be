import { encodeFunctionData } from 'viem'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { keccak, fromHex, type Hex } from '#protocol/bytes.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import { enqueueTransaction, transactionStatus } from '../chain/enqueue.ts'
import type { Ctx } from '../context.ts'
import type { Env } from '../env.ts'
import type { TxEvent } from '../http/messages.ts'
import { log } from '../log.ts'
import { outcomeOfEvent, outcomeOfStatus, type Outcome } from '../chain/outcome.ts'

/**
 * How revocations get on chain. The call is in D1 in one batch with the entries of the log that it shows, so that whatever the
 * log says is sent in the end; its outbox key is its hash, so that it takes effect once. The settlement waits for what its
 * receipts may have heeded (`sendRevocations`): neither can then be on chain without the other, whatever is reorganised,
 * because the one key that sends both gives the withdrawal the lower nonce.
 */

/** A call of the DatanetRegistry; what is signed or proven in it makes it anybody's to send. */
export type RevocationCall = { id: Hex; data: Hex }

type Chain = Pick<Ctx, 'env' | 'settings'>
type Leaf = { record: Hex; cluster: Hex }

/** Records of a rejected batch in one call: each comes with its proof. */
const MAX_PENALIZED = 100
/** Calls that are looked at in one round. */
const ROUND = 100

const PREFIX = 'revocation:'

/** What takes back the records that a contributor signed. */
export const withdrawalCall = (
  contributor: Hex,
  records: readonly Hex[],
  signature: Hex,
): RevocationCall =>
  callOf(
    encodeFunctionData({
      abi: datanetRegistryAbi,
      functionName: 'withdraw',
      args: [contributor, records, signature],
    }),
  )

/** What shows that records are in a rejected batch, whose accepted records are `leaves`; the records of each call beside it. */
export function penaltyCalls(
  batchId: Hex,
  contributor: Hex,
  leaves: readonly Leaf[],
): { records: Hex[]; call: RevocationCall }[] {
  const hashOf = ({ record, cluster }: Leaf) => leafHash('record', [record, cluster, contributor])
  const tree = merkleTree(leaves.map(hashOf))
  return Array.from({ length: Math.ceil(leaves.length / MAX_PENALIZED) }, (_, i) => {
    const part = leaves.slice(i * MAX_PENALIZED, (i + 1) * MAX_PENALIZED)
    const rejected = part.map((leaf) => ({ ...leaf, proof: tree.proof(hashOf(leaf)) }))
    const data = encodeFunctionData({
      abi: datanetRegistryAbi,
      functionName: 'penalize',
      args: [batchId, rejected],
    })
    return { records: part.map(({ record }) => record), call: callOf(data) }
  })
}

const callOf = (data: Hex): RevocationCall => ({ id: keccak(fromHex(data)), data })

/** Writes a call down; the same one again changes nothing. */
export const insertCall = ({ DB }: Pick<Env, 'DB'>, { id, data }: RevocationCall) =>
  DB.prepare(
    'INSERT INTO revocation_calls (id, data, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING',
  ).bind(id, data, Date.now())

/**
 * Sends the calls that are in no block yet, the oldest first, and notes which are by now. Answers how many of those that were
 * written before a time (Unix ms) are still on their way; when there are very many, how many of the oldest. As a sweep it sends
 * what could not be sent, and notes the ends that no message told.
 */
export async function sendRevocations(chain: Chain, before = Infinity): Promise<number> {
  const { results } = await chain.env.DB.prepare(
    `SELECT id, data, created_at AS at FROM revocation_calls WHERE block_number IS NULL
     ORDER BY created_at LIMIT ${ROUND}`,
  ).all<RevocationCall & { at: number }>()
  let waiting = 0
  for (const { id, data, at } of results) {
    const status = await transactionStatus(chain, PREFIX + id)
    const outcome = outcomeOfStatus(status)
    if (outcome) await settleCall(chain, id, outcome)
    if (outcome?.status === 'success') continue
    if (at <= before) waiting++
    // Also after a revert: what is signed or proven holds, so that the chain must take it in the end.
    if (outcome || status.status === 'unknown')
      await enqueueTransaction(chain, {
        key: PREFIX + id,
        to: chain.settings.CONTRACTS.datanetRegistry,
        data,
        value: 0n,
      })
  }
  return waiting
}

/** `revocation:<id>`: a call has ended. Idempotent; one that a reorganisation moved to another block is noted anew. */
export const onRevocationTx = (ctx: Ctx, tx: TxEvent): Promise<void> =>
  settleCall(ctx, tx.key.slice(PREFIX.length) as Hex, outcomeOfEvent(tx))

async function settleCall({ env }: Pick<Ctx, 'env'>, id: Hex, outcome: Outcome): Promise<void> {
  if (outcome.status === 'reverted')
    return log('error', { during: 'revocations', call: id, refused: outcome.reason })
  await env.DB.prepare('UPDATE revocation_calls SET tx_hash = ?2, block_number = ?3 WHERE id = ?1')
    .bind(id, outcome.txHash, outcome.blockNumber)
    .run()
}
