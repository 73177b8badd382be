/** Every contract that is deployed, in the order of deployment. */
export const CONTRACTS = [
  'Parameters',
  'DatanetRegistry',
  'ModelRegistry',
  'InferenceVault',
  'AttributionSettlement',
  'ValidatorStaking',
  'ReceiptChallenges',
  'EpochChallenges',
  'Curation',
  'VotingOpen',
  'OpenTimelock',
  'OpenGovernor',
  'OpenBridgeL1',
  'OpenBridgeL2',
] as const
