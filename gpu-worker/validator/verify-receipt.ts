/** One receipt, as whoever holds it checks it. */
import { keccak, type Hex } from '#protocol/bytes.ts'
import type { SignedReceipt } from '#protocol/receipt.ts'
import { check, type Check } from './checks.ts'
import type { ChainFacts } from './chain-facts.ts'
import type { Validator } from './validator.ts'

export type Held = {
  /** The answer as the caller got it. */
  outputText?: string
  /** Where the receipt is said to be settled. */
  settled?: { epoch: number; index: number; spent: bigint; proof: Hex[] }
}

/** All that can be checked about a receipt, believing neither the edge nor the worker. */
export async function verifyReceipt(
  { facts, validator }: { facts: ChainFacts; validator: Validator },
  signed: SignedReceipt,
  { outputText, settled }: Held = {},
): Promise<Check[]> {
  const { outputHash } = signed.receipt
  return [
    ...(await validator.receipt(signed)),
    ...(outputText === undefined
      ? []
      : [check('answer', keccak(outputText) === outputHash, outputHash)]),
    ...(settled ? [await facts.provenIn(signed, settled)] : []),
  ]
}
