import type { Log, PublicClient } from 'viem'
import { lowerCase, type Hex } from '#protocol/bytes.ts'
import { bloomAdmits } from './bloom.ts'
import { getBlockOrNull, readInTurns } from './client.ts'
import { readLogs } from './ranges.ts'

/**
 * Reads blocks and logs from a node that is not trusted to be right, up to date, or even on the right chain. What
 * its answers cannot be about one chain is an RpcFault, never data.
 */

/**
 * What is wrong with a node's answers: there are none; they are of another chain; they are old; they deny what was
 * final; they do not fit together.
 */
export const RPC_STATES = [
  'unreachable',
  'wrong-chain',
  'stale',
  'conflict',
  'inconsistent',
] as const
export type RpcState = (typeof RPC_STATES)[number]

export class RpcFault extends Error {
  readonly state: RpcState
  constructor(state: RpcState, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'RpcFault'
    this.state = state
  }
}

export type Heads = {
  latest: number
  safe: number
  final: number
  /** Unix seconds of the latest block. */
  time: number
}

export type IndexedBlock = { number: number; hash: Hex; time: number }

/** A call to the node; whatever fails is an RpcFault. */
export async function ask<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof RpcFault) throw error
    throw new RpcFault('unreachable', `the chain cannot be reached: ${shortMessage(error)}`, error)
  }
}

/** The node's heads, after it has said which chain it serves. */
export async function readHeads(client: PublicClient, chainId: number): Promise<Heads> {
  const [served, latest, safe, final] = await ask(() =>
    Promise.all([
      client.getChainId(),
      client.getBlock({ blockTag: 'latest' }),
      client.getBlock({ blockTag: 'safe' }),
      client.getBlock({ blockTag: 'finalized' }),
    ]),
  )
  if (served !== chainId)
    throw new RpcFault('wrong-chain', `the node serves chain ${served}, not ${chainId}`)
  // The three were asked for one after another, so the older ones may be of a later moment.
  const heads = [final.number, safe.number, latest.number].map(Number) as [number, number, number]
  const [finalNumber, safeNumber, latestNumber] = heads
  if (finalNumber > safeNumber || safeNumber > latestNumber)
    throw new RpcFault(
      'inconsistent',
      `final ${finalNumber}, safe ${safeNumber}, latest ${latestNumber}`,
    )
  return {
    latest: latestNumber,
    safe: safeNumber,
    final: finalNumber,
    time: Number(latest.timestamp),
  }
}

/** Hash of a block; null when the node has no such block. */
export const hashOf = (client: PublicClient, number: number): Promise<Hex | null> =>
  ask(async () => (await getBlockOrNull(client, number))?.hash ?? null)

export type Range = {
  from: number
  to: number
  addresses: readonly Hex[]
  /** Hash of block `from - 1` as it is known; null when it is not. */
  parent: Hex | null
  /** Whether every block is read, or only those that have logs and the last one. */
  whole: boolean
}

/**
 * The blocks of a range and the logs of some contracts in them. Every log has to be of a block that was read, under
 * that block's hash, and admitted by its bloom filter; a bloom filter that promises logs which are not there is asked
 * about again; a whole range has to be linked, from its parent on.
 */
export async function readRange(
  client: PublicClient,
  { from, to, addresses, parent, whole }: Range,
): Promise<{ blocks: IndexedBlock[]; logs: Log[] }> {
  const logs = await ask(() =>
    readLogs({ fromBlock: BigInt(from), toBlock: BigInt(to) }, (range) =>
      client.getLogs({ address: [...addresses], ...range }),
    ),
  )
  const numbers = whole
    ? Array.from({ length: to - from + 1 }, (_, i) => from + i)
    : [...new Set([...logs.map((log) => Number(log.blockNumber)), to])].toSorted((a, b) => a - b)
  const blocks = await readInTurns(numbers, async (number) => {
    const block = await ask(() => getBlockOrNull(client, number))
    if (!block) throw new RpcFault('inconsistent', `block ${number} is not there any more`)
    return block
  })
  const byNumber = new Map(blocks.map((block) => [Number(block.number), block]))

  let link = whole ? parent : null
  for (const block of blocks) {
    if (link && block.parentHash !== link)
      throw new RpcFault('inconsistent', `block ${block.number} does not follow ${link}`)
    if (whole) link = block.hash
  }
  for (const { address, blockNumber, blockHash } of logs) {
    const block = byNumber.get(Number(blockNumber))
    if (!block || block.hash !== blockHash || !addresses.includes(lowerCase(address)))
      throw new RpcFault('inconsistent', `a log of ${address} is not of block ${blockNumber}`)
    if (!bloomAdmits(block.logsBloom, address))
      throw new RpcFault('inconsistent', `the header of block ${blockNumber} denies its logs`)
  }
  const silent = blocks.flatMap((block) =>
    addresses
      .filter(
        (address) =>
          bloomAdmits(block.logsBloom, address) &&
          !logs.some((log) => log.blockHash === block.hash && lowerCase(log.address) === address),
      )
      .map((address) => ({ block, address })),
  )
  for (const { block, address } of silent) {
    const found = await ask(() => client.getLogs({ address, blockHash: block.hash }))
    if (found.length > 0)
      throw new RpcFault('inconsistent', `logs of block ${block.number} were left out`)
  }
  return {
    blocks: blocks.map(({ number, hash, timestamp }) => ({
      number: Number(number),
      hash,
      time: Number(timestamp),
    })),
    logs,
  }
}

const shortMessage = (error: unknown): string =>
  error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error)
