import { parseAbi, type PublicClient } from 'viem'
import type { Hex } from '#protocol/bytes.ts'

/** Predeploy of every OP Stack chain (specs.optimism.io/protocol/predeploys.html); not there on a bare anvil. */
const GAS_PRICE_ORACLE = '0x420000000000000000000000000000000000000F'
const oracleAbi = parseAbi([
  'function getL1FeeUpperBound(uint256 unsignedTxSize) view returns (uint256)',
  'function getOperatorFee(uint256 gasUsed) view returns (uint256)',
])
const ENVELOPE_BYTES = 150n // nonce, fees, gas, addresses and signature beside the data

/**
 * The most wei that a transaction with this data can cost its sender beyond its value: gas, and what an OP Stack chain
 * takes for L1 data and for its operator.
 */
export async function worstCost(
  client: PublicClient,
  { data, gas, maxFeePerGas }: { data: Hex; gas: bigint; maxFeePerGas: bigint },
): Promise<bigint> {
  const oracle = { address: GAS_PRICE_ORACLE, abi: oracleAbi } as const
  const size = BigInt(data.length / 2) + ENVELOPE_BYTES
  const [l1, operator] = (await hasCode(client, GAS_PRICE_ORACLE))
    ? await Promise.all([
        client.readContract({ ...oracle, functionName: 'getL1FeeUpperBound', args: [size] }),
        client.readContract({ ...oracle, functionName: 'getOperatorFee', args: [gas] }),
      ])
    : [0n, 0n]
  return gas * maxFeePerGas + l1 + operator
}

const hasCode = async (client: PublicClient, address: Hex): Promise<boolean> =>
  (await client.getCode({ address })) !== undefined
