import type { Hex } from '#protocol/bytes.ts'

/** What a validator checks, and what anybody can do about a check that fails. */

/**
 * How a fault is shown. `challenge`: by one transaction, from public data (protocol/challenge.ts). `demand`: what is missing
 * is demanded on chain, and whoever does not show it in time loses. `vote`: only by running the model again or by weighing
 * what no contract can see, which most of the staked validators have to say.
 */
export type Remedy = 'challenge' | 'demand' | 'vote'

/** Every check by name. */
export const CHECKS = {
  // of an epoch
  available: 'demand',
  published: 'demand',
  file: 'vote',
  roots: 'demand',
  treasuries: 'challenge',
  order: 'challenge',
  draws: 'challenge',
  payouts: 'challenge',
  presence: 'vote',
  anchored: 'vote',
  worker: 'vote',
  repeated: 'challenge',
  equivocation: 'challenge',
  // of a receipt, from public data
  readable: 'vote',
  signature: 'vote',
  parameters: 'vote',
  model: 'challenge',
  price: 'vote',
  sums: 'challenge',
  shares: 'challenge',
  index: 'demand',
  query: 'demand',
  unlisted: 'demand',
  rows: 'challenge',
  scores: 'challenge',
  omission: 'challenge',
  revoked: 'vote',
  spans: 'challenge',
  // with the texts
  prompt: 'vote',
  answer: 'vote',
  text: 'vote',
  gradient: 'vote',
  // of one's own receipt
  proof: 'vote',
} as const satisfies Record<string, Remedy>

export type CheckName = keyof typeof CHECKS

/** Where in an epoch a fault lies, for the proof of it. */
export type Place = {
  /** Receipt of the epoch, or the number of receipts: where those of a payer end. */
  receipt?: number
  /** Another receipt of the epoch, for the same request. */
  other?: number
  /** Payout of the epoch, by its position or its account. */
  payout?: number
  account?: Hex
  /** Row of the receipt, and span of that row. */
  row?: number
  span?: number
  /** Row of the adapter's index. */
  indexRow?: number
  /** Token of the span. */
  offset?: number
}

/** One thing that was checked, and what was found. */
export type Check = { name: CheckName; holds: boolean; detail: string; place?: Place }

export const check = (name: CheckName, holds: boolean, detail: string, place?: Place): Check => ({
  name,
  holds,
  detail,
  ...(place && { place }),
})
