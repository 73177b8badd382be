import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** What building one epoch took; bytes of memory are those of heap and buffers at their most. */
export type Built = {
  seconds: number
  peakBytes: number
  jsonBytes: number
  publishedBytes: number
  segments: number
}

/** Receipts of an epoch, and accounts that earlier ones have paid. */
export type Size = { receipts: number; accounts: number }

/**
 * Builds one epoch of made receipts by the batcher's own code, in a process of its own whose heap is limited; rejects when
 * that is not enough. Node's heap stands for that of a Worker.
 */
export async function buildReceipts({ receipts, accounts }: Size, heapMb: number): Promise<Built> {
  const script = fileURLToPath(import.meta.resolve('./build-process.ts'))
  const args = [`--max-old-space-size=${heapMb}`, script, String(receipts), String(accounts)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout) as Built
}
