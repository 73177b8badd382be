import { z } from 'zod'
import { lowerCase, type Hex } from './bytes.ts'
import { settlementDomain, type ReceiptDomain } from './receipt.ts'
import { address, decimal } from './wire.ts'

/**
 * A claim that its account signs and somebody else sends and pays the gas for, in exchange for a fee out of it
 * (`claimBySignature` of contracts/src/AttributionSettlement.sol). `cumulative` and `maxFee` are wei, `deadline` Unix
 * seconds; the nonce is the account's next one, so that one signature pays once.
 */
export type Claim = {
  account: Hex
  /** Who is paid. */
  to: Hex
  cumulative: bigint
  epoch: bigint
  maxFee: bigint
  nonce: bigint
  deadline: bigint
}

const uint = (bits: bigint) =>
  decimal.refine((value) => value < 1n << bits, `expected less than 2^${bits}`)
const MAX_SIGNATURE_BYTES = 1_024 // what a contract account takes for one may be several

/** A claim as JSON: integers are decimal strings. */
export const claimMessage = z.object({
  account: address,
  to: address,
  cumulative: uint(256n),
  epoch: uint(64n),
  maxFee: uint(256n),
  nonce: uint(256n),
  deadline: uint(64n),
}) satisfies z.ZodType<Claim, unknown>

/** The JSON that `claimMessage` reads. */
export const claimJson = (claim: Claim): Record<keyof Claim, string> => ({
  account: claim.account,
  to: claim.to,
  cumulative: claim.cumulative.toString(),
  epoch: claim.epoch.toString(),
  maxFee: claim.maxFee.toString(),
  nonce: claim.nonce.toString(),
  deadline: claim.deadline.toString(),
})

/** A claim with what its account signed it with: an ECDSA signature, or what a contract account accepts (EIP-1271). */
export const signedClaim = z.object({
  claim: claimMessage,
  signature: z
    .string()
    .max(2 + 2 * MAX_SIGNATURE_BYTES)
    .regex(/^0x([0-9a-fA-F]{2})+$/, 'expected 0x and hex digits')
    .transform((text) => lowerCase(text as Hex)),
})
export type SignedClaim = z.infer<typeof signedClaim>

const CLAIM_TYPES = {
  Claim: [
    { name: 'account', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'cumulative', type: 'uint256' },
    { name: 'epoch', type: 'uint64' },
    { name: 'maxFee', type: 'uint256' },
    { name: 'nonce', type: 'uint256' },
    { name: 'deadline', type: 'uint256' },
  ],
} as const

/** EIP-712 arguments of a claim, for viem's signing. */
export const claimTypedData = (claim: Claim, domain: ReceiptDomain) =>
  ({
    domain: settlementDomain(domain),
    types: CLAIM_TYPES,
    primaryType: 'Claim',
    message: claim,
  }) as const
