import { privateKeyToAccount } from 'viem/accounts'
import { lowerCase, type Hex } from '#protocol/bytes.ts'
import type { ParameterName } from '#protocol/parameters.ts'
import type { Ctx } from '../context.ts'
import type { TransactionStatus } from './outbox.ts'

export type Transaction = {
  /** `<domain>:<id>`: names the intent; the domain picks who hears of the outcome (ON_TX in edge/index.ts). */
  key: string
  to: Hex
  data: Hex
  /** Wei to send along, or the governed number that is due when it is sent. */
  value: bigint | { parameter: ParameterName }
  /** Wei that sending it may cost at most, as `worstCost` counts; whatever it costs when absent. */
  budget?: bigint
}

type Chain = Pick<Ctx, 'env' | 'settings'>

/**
 * Hands a transaction to the operator's writer. Idempotent by key: it takes effect once, however often it is asked
 * for; after a revert the key may be used again. Works while the chain is down. Transactions are sent in the order
 * in which they came, those with a budget when the price allows it. The outcome comes as a `tx` message on the EVENTS queue and stays readable.
 */
export async function enqueueTransaction(
  ctx: Chain,
  { value, budget, ...rest }: Transaction,
): Promise<void> {
  await chainWriter(ctx).enqueue({
    ...rest,
    ...(budget !== undefined && { budget: budget.toString() }),
    value: typeof value === 'bigint' ? value.toString() : value.parameter,
  })
}

/** Where a transaction stands; the writer never forgets a key. */
export const transactionStatus = async (ctx: Chain, key: string): Promise<TransactionStatus> =>
  chainWriter(ctx).status(key)

/** The data of a transaction's call, which may be long; null when the writer does not know the key. */
export const transactionData = async (ctx: Chain, key: string): Promise<Hex | null> =>
  chainWriter(ctx).dataOf(key)

/** The writer of this deployment's operator key; its name is the operator's address. */
export const chainWriter = ({ env, settings }: Chain) =>
  env.CHAIN.getByName(operatorAddress(settings))

/** Address of the operator's key, lower case. */
export const operatorAddress = ({ OPERATOR_KEY }: Ctx['settings']): Hex =>
  lowerCase(privateKeyToAccount(OPERATOR_KEY).address)
