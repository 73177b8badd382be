import type { Hex } from '#protocol/bytes.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { cached, chainClient, readChain } from '../chain/client.ts'
import { accountOf, type Ctx } from '../context.ts'

const CACHE_MS = 2_000

/**
 * Wei of an account: in the vault, asked back from it, held or owed for requests whose draw is not safe, and free to
 * spend; `pending` was deposited in blocks that are not safe yet.
 */
export type Balance = VaultBalance & { held: bigint; available: bigint }

type VaultBalance = { deposited: bigint; withdrawing: bigint; pending: bigint }

/**
 * What the vault holds for an address, at the safe head of the chain; at most two seconds old. A deposit counts when
 * its block is safe, and a draw when its block is, because the debt that it pays stands until then. A withdrawal counts
 * from the first block that knows of it: one that is safe and paid out in the newest block is still subtracted.
 * Throws `chain/unavailable`.
 */
const vaultBalance = ({ settings }: Pick<Ctx, 'settings'>, address: Hex): Promise<VaultBalance> =>
  cached(`vault:${address}`, CACHE_MS, async () => {
    const client = chainClient(settings)
    const vault = { address: settings.CONTRACTS.inferenceVault, abi: inferenceVaultAbi } as const
    const at = (blockTag: 'safe' | 'latest') =>
      Promise.all([
        client.readContract({ ...vault, functionName: 'balanceOf', args: [address], blockTag }),
        client.readContract({
          ...vault,
          functionName: 'pendingWithdrawal',
          args: [address],
          blockTag,
        }),
      ])
    const [[safe, [asked]], [latest, [askedNow]]] = await readChain(() =>
      Promise.all([at('safe'), at('latest')]),
    )
    return {
      deposited: safe,
      withdrawing: asked > askedNow ? asked : askedNow,
      pending: latest > safe ? latest - safe : 0n,
    }
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
