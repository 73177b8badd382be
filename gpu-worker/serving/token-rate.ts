/** How fast tokens are drawn. */
const RATE_WINDOW_MS = 5_000

/** Tokens per second over the last whole window; `nowMs` never falls. */
export function tokenRate() {
  let since = performance.now()
  let count = 0
  let last = 0
  const roll = (nowMs: number): void => {
    if (nowMs - since < RATE_WINDOW_MS) return
    last = nowMs - since < 2 * RATE_WINDOW_MS ? (1_000 * count) / (nowMs - since) : 0
    since = nowMs
    count = 0
  }
  return {
    count: (nowMs: number): void => {
      roll(nowMs)
      count++
    },
    perSecond: (nowMs: number): number => {
      roll(nowMs)
      return last
    },
  }
}
