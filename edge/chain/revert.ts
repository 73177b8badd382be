import { BaseError, decodeErrorResult, ExecutionRevertedError, parseAbi } from 'viem'
import type { Hex } from '#protocol/bytes.ts'
import { errors } from '#contracts/errors.ts'

/** Of solady's SafeTransferLib, which reverts in assembly: no contract's ABI has it. */
const TRANSFER_ERRORS = parseAbi(['error ETHTransferFailed()'])

/**
 * Why the chain reverted a call, such as `EpochOutOfOrder(3, 2)`; null when the error is something else: a chain
 * that cannot be reached, an account without funds for gas.
 */
export function revertReason(error: unknown): string | null {
  if (!(error instanceof BaseError)) return null
  const data = revertData(error)
  if (data) return decode(data)
  const reverted = error.walk((e) => e instanceof ExecutionRevertedError)
  return reverted instanceof ExecutionRevertedError ? reverted.shortMessage : null
}

/** What a registry answers; null for a model that it does not know. */
export async function unlessUnknown<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read()
  } catch (error) {
    if (revertReason(error)?.startsWith('UnknownModel(')) return null
    throw error
  }
}

function revertData(error: BaseError): Hex | null {
  const holder = error.walk((e) => typeof dataOf(e) === 'string')
  const data = dataOf(holder)
  return typeof data === 'string' && /^0x([0-9a-f]{2}){4,}$/i.test(data) ? (data as Hex) : null
}

function dataOf(error: unknown): unknown {
  if (typeof error !== 'object' || error === null || !('data' in error)) return undefined
  const { data } = error
  // Some nodes wrap the bytes once more.
  return typeof data === 'object' && data !== null && 'data' in data ? data.data : data
}

function decode(data: Hex): string {
  try {
    const { errorName, args } = decodeErrorResult({
      abi: [...errors, ...TRANSFER_ERRORS],
      data,
    })
    return `${errorName}(${(args ?? []).map(String).join(', ')})`
  } catch {
    return `unknown error ${data.slice(0, 10)}`
  }
}
