import type { PublicClient } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import {
  creditsByAccount,
  decodeEpoch,
  epochCredits,
  epochRoots,
  type EpochFile,
} from '#protocol/epoch.ts'

export type AuditOptions = {
  chain: PublicClient
  settlement: Hex
  /** An EigenDA proxy. */
  daUrl: string
}

/** A settled epoch whose file was found at the data-availability layer and recomputed. */
export type AuditedEpoch = { epoch: number; file: EpochFile; total: bigint }

/**
 * Recomputes every settled epoch from public data alone: the file behind the commitment on chain must have the hash
 * and the roots on chain, and its cumulative payouts must be the epoch before plus what its receipts pay.
 * Throws an Error that says what does not fit.
 */
export async function auditEpochs({
  chain,
  settlement,
  daUrl,
}: AuditOptions): Promise<AuditedEpoch[]> {
  const submitted = await chain.getContractEvents({
    address: settlement,
    abi: attributionSettlementAbi,
    eventName: 'EpochSubmitted',
    fromBlock: 0n,
    strict: true,
  })
  const lastEpoch = await chain.readContract({
    address: settlement,
    abi: attributionSettlementAbi,
    functionName: 'lastEpoch',
  })
  const audited: AuditedEpoch[] = []
  let cumulative = new Map<Hex, bigint>()
  for (let epoch = 1; epoch <= Number(lastEpoch); epoch++) {
    // A disabled epoch's number is submitted again: the last one counts.
    const event = submitted.findLast(({ args }) => Number(args.epoch) === epoch)
    if (!event) throw new Error(`epoch ${epoch}: the chain has no event of its submission`)
    const { args } = event
    const bytes = await fetchBlob(daUrl, args.commitment)
    if (keccak(bytes) !== args.dataHash)
      throw new Error(`epoch ${epoch}: the file has another hash`)
    const file = decodeEpoch(bytes)
    const roots = epochRoots(file)
    if (
      file.epoch !== epoch ||
      roots.receiptsRoot !== args.receiptsRoot ||
      roots.creditsRoot !== args.creditsRoot ||
      roots.payoutsRoot !== args.payoutsRoot ||
      roots.total !== args.total
    )
      throw new Error(`epoch ${epoch}: the file does not have the roots on chain`)
    cumulative = addCredits(cumulative, file)
    const payouts = new Map(file.payouts.map(({ account, amount }) => [account, amount]))
    if (
      payouts.size !== cumulative.size ||
      [...cumulative].some(([a, wei]) => payouts.get(a) !== wei)
    )
      throw new Error(`epoch ${epoch}: the payouts are not what the receipts pay`)
    audited.push({ epoch, file, total: args.total })
  }
  return audited
}

function addCredits(before: Map<Hex, bigint>, file: EpochFile): Map<Hex, bigint> {
  const after = new Map(before)
  for (const [account, wei] of creditsByAccount(epochCredits(file)))
    after.set(account, (after.get(account) ?? 0n) + wei)
  return after
}

async function fetchBlob(daUrl: string, commitment: Hex): Promise<Uint8Array> {
  const response = await fetch(`${daUrl}/get/${commitment}?commitment_mode=standard`)
  if (!response.ok) throw new Error(`DA ${response.status}: ${await response.text()}`)
  return new Uint8Array(await response.arrayBuffer())
}
