const OPEN = 10n ** 18n
const DAY = 86_400n

/**
 * What the governor and its timelock start with: seconds, wei of votes, percent. Afterwards they are moved by passed
 * proposals only. The delay of the timelock is longer than `vault.withdrawDelay`, so that who dislikes a change can
 * leave before it comes into force.
 */
export const GOVERNOR_SETTINGS = {
  votingDelay: DAY,
  votingPeriod: 7n * DAY,
  lateQuorumExtension: DAY,
  proposalThreshold: 10_000n * OPEN,
  quorumPercent: 5n,
  minimumSupply: 10_000_000n * OPEN,
  timelockDelay: 2n * DAY,
}

export type GovernorSettings = typeof GOVERNOR_SETTINGS
