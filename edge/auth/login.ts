import { and, eq, gt, lte } from 'drizzle-orm'
import { recoverMessageAddress } from 'viem'
import { generateSiweNonce, parseSiweMessage, validateSiweMessage } from 'viem/siwe'
import { lowerCase, type Hex } from '#protocol/bytes.ts'
import { openAccount } from '../accounts/accounts.ts'
import { SCOPES, type Ctx } from '../context.ts'
import { loginNonces } from '../db/schema.ts'
import { Problem } from '../problem.ts'
import { createKey, type NewKey } from './keys.ts'

const NONCE_MS = 10 * 60_000
const LOGIN_KEY_DAYS = 30

/** What a wallet needs to build its EIP-4361 message. */
export type Challenge = {
  nonce: string
  domain: string
  uri: string
  chainId: number
  expiresAt: number
}

/** Issues a nonce that one login of this address may use once. */
export async function issueNonce(ctx: Ctx, address: Hex): Promise<Challenge> {
  const nonce = generateSiweNonce()
  const expiresAt = Date.now() + NONCE_MS
  await ctx.db.insert(loginNonces).values({ nonce, address, expiresAt })
  const { PUBLIC_URL, CHAIN_ID } = ctx.settings
  return { nonce, domain: new URL(PUBLIC_URL).host, uri: PUBLIC_URL, chainId: CHAIN_ID, expiresAt }
}

/**
 * Signs a wallet in with an EIP-4361 message of ours (domain, chain, nonce, times) and its signature, and issues a
 * key with every scope. Externally owned accounts only. Throws `auth/invalid-login` naming the fault.
 */
export async function logIn(
  ctx: Ctx,
  { message, signature }: { message: string; signature: Hex },
): Promise<{ accountId: string; address: Hex; key: NewKey }> {
  const fields = parseSiweMessage(message)
  const domain = new URL(ctx.settings.PUBLIC_URL).host
  if (!fields.address || !fields.nonce) throw refuse('The message is not an EIP-4361 message.')
  if (fields.domain !== domain) throw refuse(`The message must name the domain ${domain}.`)
  if (fields.chainId !== ctx.settings.CHAIN_ID)
    throw refuse(`The message must name the chain ${ctx.settings.CHAIN_ID}.`)
  if (!validateSiweMessage({ message: fields, domain }))
    throw refuse('The message is not valid at this time.')
  const signer = await recoverMessageAddress({ message, signature }).catch(() => null)
  if (signer !== fields.address) throw refuse('The signature is not of the address in the message.')

  const address = lowerCase(fields.address)
  const used = await ctx.db
    .delete(loginNonces)
    .where(
      and(
        eq(loginNonces.nonce, fields.nonce),
        eq(loginNonces.address, address),
        gt(loginNonces.expiresAt, Date.now()),
      ),
    )
    .returning()
  if (used.length === 0) throw refuse('The nonce is unknown, used or expired.')
  const accountId = await openAccount(ctx, address)
  const key = await createKey(ctx, accountId, {
    name: 'login',
    scopes: [...SCOPES],
    expiresInDays: LOGIN_KEY_DAYS,
  })
  return { accountId, address, key }
}

/** Deletes nonces that nobody used in time; answers how many. */
export async function sweepNonces(ctx: Ctx): Promise<number> {
  const gone = await ctx.db
    .delete(loginNonces)
    .where(lte(loginNonces.expiresAt, Date.now()))
    .returning({ nonce: loginNonces.nonce })
  return gone.length
}

const refuse = (detail: string) => new Problem('auth/invalid-login', { detail })
