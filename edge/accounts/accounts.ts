import { eq } from 'drizzle-orm'
import type { Hex } from '#protocol/bytes.ts'
import { newId } from '#protocol/ids.ts'
import type { Ctx } from '../context.ts'
import { accounts } from '../db/schema.ts'

/** The account of a wallet, or null when it never signed in. */
async function accountIdOf(ctx: Ctx, address: Hex): Promise<string | null> {
  const [row] = await ctx.db
    .select({ id: accounts.id })
    .from(accounts)
    .where(eq(accounts.address, address))
  return row?.id ?? null
}

/** The account of a wallet, opened if need be. Idempotent: one account per address. */
export async function openAccount(ctx: Ctx, address: Hex): Promise<string> {
  await ctx.db
    .insert(accounts)
    .values({ id: newId('account'), address, createdAt: Date.now() })
    .onConflictDoNothing({ target: accounts.address })
  const id = await accountIdOf(ctx, address)
  if (!id) throw new Error(`account of ${address} vanished`)
  return id
}
