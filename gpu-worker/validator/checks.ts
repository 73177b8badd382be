/** What a validator checks, and what anybody can do about a check that fails. */

/**
 * How a fault is shown: by one transaction with the named proof, or only by running the model again, which the staked
 * majority of validators has to attest.
 */
export type Remedy =
  | 'score'
  | 'span'
  | 'omission'
  | 'shares'
  | 'total'
  | 'equivocation'
  | 'availability'
  | 're-execution'

/** Every check by name. */
export const CHECKS = {
  // of an epoch
  available: 'availability',
  file: 're-execution',
  roots: 'total',
  order: 'total',
  draws: 'total',
  payouts: 'total',
  presence: 're-execution',
  repeated: 'equivocation',
  // of a receipt, from public data
  signature: 're-execution',
  parameters: 're-execution',
  model: 're-execution',
  price: 're-execution',
  sums: 'shares',
  shares: 'shares',
  index: 're-execution',
  query: 're-execution',
  rows: 'score',
  scores: 'score',
  omission: 'omission',
  revoked: 're-execution',
  spans: 'span',
  // with the texts
  prompt: 're-execution',
  answer: 're-execution',
  text: 're-execution',
  gradient: 're-execution',
  // of one's own receipt
  proof: 're-execution',
} as const satisfies Record<string, Remedy>

export type CheckName = keyof typeof CHECKS

/** Where in a receipt a fault lies, for the proof of it. */
export type Place = {
  /** Receipt of the epoch, for what concerns the epoch as a whole. */
  receipt?: number
  /** Row of the receipt, and span of that row. */
  row?: number
  span?: number
  /** Row of the adapter's index. */
  indexRow?: number
  /** Position of a token in the answer or in the record. */
  position?: number
}

/** One thing that was checked, and what was found. */
export type Check = { name: CheckName; holds: boolean; detail: string; place?: Place }

export const check = (name: CheckName, holds: boolean, detail: string, place?: Place): Check => ({
  name,
  holds,
  detail,
  ...(place && { place }),
})
