/** The progress line of a run: means and rates since the line before. */
import type { HeldOutLoss } from './evaluate.ts'

/** Time between two lines. */
const REPORT_MS = 10_000

type RunPosition = {
  readonly step: number
  readonly epoch: number
  readonly tokens: number
  readonly loss: number
  readonly heldOut: HeldOutLoss
  /** Wall-clock time of the run and the share of its budget used. */
  readonly elapsedMs: number
  readonly share: number
}

/** Returns a function to call after every step; every `REPORT_MS` it hands `print` a line. */
export function progressReporter(print: (line: string) => void): (position: RunPosition) => void {
  let startedMs = Date.now()
  let startTokens: number | undefined
  let losses: number[] = []
  return (position) => {
    const { step, epoch, tokens, loss, heldOut, elapsedMs, share } = position
    losses.push(loss)
    startTokens ??= tokens
    const now = Date.now()
    if (now - startedMs < REPORT_MS) return
    const meanLoss = losses.reduce((sum, value) => sum + value, 0) / losses.length
    const tokensPerSecond = ((tokens - startTokens) * 1000) / (now - startedMs)
    const leftMs = elapsedMs / Math.min(1, share) - elapsedMs
    const domains = Object.entries(heldOut).map(
      ([domain, value]) => `${domain} ${value.toFixed(3)}`,
    )
    const parts = [
      `step ${step}`,
      `epoch ${epoch + 1}`,
      `${(tokens / 1e6).toFixed(2)} M tokens`,
      `loss ${meanLoss.toFixed(3)}`,
      `held out: ${domains.join(', ') || 'not yet'}`,
      `${Math.round(tokensPerSecond)} tokens/s`,
      `${Math.ceil(leftMs / 60_000)} min left`,
    ]
    print(parts.join(' | '))
    startedMs = now
    startTokens = tokens
    losses = []
  }
}
