import type { Hex } from '#protocol/bytes.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { cached, chainClient, readChain } from '../chain/client.ts'
import { accountOf, type Ctx } from '../context.ts'

const CACHE_MS = 2_000

/** Wei of an account: in the vault, held or owed for requests that no epoch has settled, and free to spend. */
export type Balance = { deposited: bigint; withdrawing: bigint; held: bigint; available: bigint }

/**
 * What the vault holds for an address and how much of it is being withdrawn; at most two seconds old. Throws
 * `chain/unavailable`.
 */
export const vaultBalance = (
  { settings }: Pick<Ctx, 'settings'>,
  address: Hex,
): Promise<{ deposited: bigint; withdrawing: bigint }> =>
  cached(`vault:${address}`, CACHE_MS, async () => {
    const client = chainClient(settings)
    const vault = { address: settings.CONTRACTS.inferenceVault, abi: inferenceVaultAbi } as const
    const [deposited, [withdrawing]] = await readChain(() =>
      Promise.all([
        client.readContract({ ...vault, functionName: 'balanceOf', args: [address] }),
        client.readContract({ ...vault, functionName: 'pendingWithdrawal', args: [address] }),
      ]),
    )
    return { deposited, withdrawing }
  })

/** What `Account.hold` may count on: the vault's balance less what is being withdrawn. Throws `chain/unavailable`. */
export async function spendableBalance(ctx: Pick<Ctx, 'settings'>, address: Hex): Promise<bigint> {
  const { deposited, withdrawing } = await vaultBalance(ctx, address)
  return deposited > withdrawing ? deposited - withdrawing : 0n
}

/** The caller's balance. Throws `chain/unavailable`. */
export async function accountBalance(ctx: Ctx): Promise<Balance> {
  const { accountId, address } = accountOf(ctx)
  const [vault, committed] = await Promise.all([
    vaultBalance(ctx, address),
    ctx.env.ACCOUNT.getByName(accountId).committed(),
  ])
  const free = vault.deposited - vault.withdrawing - committed.total
  return { ...vault, held: committed.total, available: free > 0n ? free : 0n }
}
