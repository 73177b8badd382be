import type { PublicClient } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { keccak, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { receiptLeaf } from '#protocol/epoch.ts'
import { verifyOrdered } from '#protocol/merkle.ts'
import {
  parameterKey,
  PARAMETER_NAMES,
  paramsHash,
  type ParameterValues,
} from '#protocol/parameters.ts'
import { receiptFault, receiptSigner, type SignedReceipt } from '#protocol/receipt.ts'
import { sharesFault } from '#protocol/shares.ts'

/** One thing that was checked about a receipt, and what was found. */
export type Check = { name: string; holds: boolean; detail: string }

export type VerifyOptions = {
  chain: PublicClient
  contracts: { parameters: Hex; modelRegistry: Hex; attributionSettlement: Hex }
  /** What the caller sent and got, when at hand; the answer's text must be the one that was paid for. */
  outputText?: string
  /** Where the receipt was settled; without it the proof is not checked. */
  settled?: { epoch: number; index: number; spent: bigint; proof: Hex[] }
}

/**
 * Checks a receipt without trusting who gave it: the worker's signature, the sums, the fee against the price and the
 * splits on chain, the adapter's registration, the answer's hash and the Merkle proof against the settled epoch.
 */
export async function verifyReceipt(
  signed: SignedReceipt,
  { chain, contracts, outputText, settled }: VerifyOptions,
): Promise<Check[]> {
  const { receipt } = signed
  const chainId = await chain.getChainId()
  const domain = { chainId, settlement: contracts.attributionSettlement }
  const signer = (await receiptSigner(signed, domain)).toLowerCase()
  const fault = receiptFault(receipt)
  const checks: Check[] = [
    check('signature', signer === receipt.worker, `signed by ${signer}, names ${receipt.worker}`),
    check('sums', fault === null, fault ?? `${receipt.fee} wei in all`),
    ...(await checkFee(signed, chain, contracts)),
    await checkModel(signed, chain, contracts.modelRegistry),
  ]
  if (outputText !== undefined)
    checks.push(check('answer', keccak(outputText) === receipt.outputHash, receipt.outputHash))
  if (settled) {
    const epoch = await chain.readContract({
      address: contracts.attributionSettlement,
      abi: attributionSettlementAbi,
      functionName: 'epochs',
      args: [BigInt(settled.epoch)],
    })
    const { index, spent, proof } = settled
    const leaf = receiptLeaf(receipt, spent, domain)
    const place = { index, count: epoch.receipts, proof }
    checks.push(
      check(
        'proof',
        verifyOrdered(epoch.receiptsRoot, leaf, place),
        `epoch ${settled.epoch}, root ${epoch.receiptsRoot}`,
      ),
    )
  }
  return checks
}

const check = (name: string, holds: boolean, detail: string): Check => ({ name, holds, detail })

/** The fee is price times tokens, and its parts are the governed splits of it. */
async function checkFee(
  { receipt }: SignedReceipt,
  chain: PublicClient,
  contracts: VerifyOptions['contracts'],
): Promise<Check[]> {
  const isAdapter = receipt.adapter !== ZERO_HASH
  const { pricePerToken } = await chain.readContract({
    address: contracts.modelRegistry,
    abi: modelRegistryAbi,
    functionName: isAdapter ? 'adapterOf' : 'baseOf',
    args: [isAdapter ? receipt.adapter : receipt.base],
  })
  const tokens = BigInt(receipt.promptTokens + receipt.completionTokens)
  const values = await readParameters(chain, contracts.parameters)
  const governed = paramsHash(values) === receipt.paramsHash
  const fault = sharesFault(receipt, values)
  return [
    check(
      'price',
      receipt.fee === tokens * pricePerToken,
      `${tokens} tokens at ${pricePerToken} wei`,
    ),
    check(
      'split',
      governed && fault === null,
      governed
        ? (fault ?? `platform ${receipt.platform}, stakers ${receipt.stakers} wei`)
        : `made under other parameters: ${receipt.paramsHash}`,
    ),
  ]
}

/** The adapter is registered over this base, index and these Datanet versions, and belongs to who is paid for it. */
async function checkModel(
  { receipt }: SignedReceipt,
  chain: PublicClient,
  modelRegistry: Hex,
): Promise<Check> {
  const registry = { address: modelRegistry, abi: modelRegistryAbi } as const
  if (receipt.adapter === ZERO_HASH) {
    const base = await chain.readContract({
      ...registry,
      functionName: 'baseOf',
      args: [receipt.base],
    })
    return check('model', isSame(base.owner, receipt.modelOwner), `base of ${base.owner}`)
  }
  const adapter = await chain.readContract({
    ...registry,
    functionName: 'adapterOf',
    args: [receipt.adapter],
  })
  return check(
    'model',
    adapter.base === receipt.base &&
      adapter.indexRoot === receipt.indexRoot &&
      adapter.datanetRoots.toSorted().join() === receipt.datanets.toSorted().join() &&
      isSame(adapter.owner, receipt.modelOwner),
    `adapter of ${adapter.owner}, index ${adapter.indexRoot}`,
  )
}

/** The governed numbers as they are on chain now. Throws when the contract lacks one. */
export async function readParameters(chain: PublicClient, at: Hex): Promise<ParameterValues> {
  const [keys, values] = await chain.readContract({
    address: at,
    abi: parametersAbi,
    functionName: 'all',
  })
  const byKey = new Map(keys.map((key, i) => [key, values[i]]))
  const entries = PARAMETER_NAMES.map((name) => {
    const value = byKey.get(parameterKey(name))
    if (value === undefined) throw new Error(`the Parameters contract at ${at} lacks ${name}`)
    return [name, value]
  })
  return Object.fromEntries(entries) as ParameterValues
}

const isSame = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()
