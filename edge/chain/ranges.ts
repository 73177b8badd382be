import { BaseError, HttpRequestError, RpcRequestError, type PublicClient } from 'viem'

type Range = { fromBlock: bigint; toBlock: bigint }

/**
 * Reads logs, or what is made of them, of a range of blocks, in their order. A node that refuses the range is asked for its
 * halves: nodes limit eth_getLogs by blocks, results or time, each by its own number and in its own words. Throws what
 * is refused of a single block, and whatever is no refusal, such as a node that does not answer.
 */
export async function readLogs<T>(
  { fromBlock, toBlock }: Range,
  read: (range: Range) => Promise<T[]>,
): Promise<T[]> {
  if (fromBlock > toBlock) return []
  try {
    return await read({ fromBlock, toBlock })
  } catch (error) {
    if (fromBlock === toBlock || !isRefusal(error)) throw error
    const middle = (fromBlock + toBlock) / 2n
    const older = await readLogs({ fromBlock, toBlock: middle }, read)
    return [...older, ...(await readLogs({ fromBlock: middle + 1n, toBlock }, read))]
  }
}

/** The same from a block up to the newest. */
export async function readLogsFrom<T>(
  chain: Pick<PublicClient, 'getBlock'>,
  fromBlock: bigint,
  read: (range: Range) => Promise<T[]>,
): Promise<T[]> {
  const { number: toBlock } = await chain.getBlock({ blockTag: 'latest' })
  return readLogs({ fromBlock, toBlock }, read)
}

const CONTENT_TOO_LARGE = 413

/** Whether the node answered, but not with what was asked for. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof BaseError)) return false
  const refusal = error.walk(
    (cause) =>
      cause instanceof RpcRequestError ||
      (cause instanceof HttpRequestError && cause.status === CONTENT_TOO_LARGE),
  )
  return refusal !== null
}
