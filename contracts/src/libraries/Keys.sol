// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Keys of the governed numbers that contracts read; the full table is
/// protocol/parameters.ts.
library Keys {
    /// @dev Seconds in which an epoch may be disabled and a batch challenged.
    bytes32 internal constant SETTLEMENT_WINDOW = "settlement.window";
    /// @dev Wei a submitter must have at stake, at least.
    bytes32 internal constant SETTLEMENT_BOND = "settlement.bond";
    /// @dev Parts per million of all pending totals that a submitter must have at stake.
    bytes32 internal constant SETTLEMENT_BOND_RATIO = "settlement.bondRatio";
    /// @dev Wei that go with a demand to reveal what an epoch commits to.
    bytes32 internal constant DEMAND_BOND = "challenge.bond";
    /// @dev Seconds in which such a demand is to be answered.
    bytes32 internal constant ANSWER_TIME = "challenge.answerTime";
    /// @dev Seconds for which stake that leaves can still be slashed.
    bytes32 internal constant UNBOND_DELAY = "staking.unbondDelay";
    /// @dev Wei a validator must have at stake to attest.
    bytes32 internal constant MINIMUM_STAKE = "staking.minimum";
    bytes32 internal constant SIGNIFICANCE = "attribution.significance";
    bytes32 internal constant MIN_SHARE = "attribution.minShare";
    bytes32 internal constant COVERAGE = "attribution.coverage";
    bytes32 internal constant TOP_K = "attribution.topK";
    bytes32 internal constant TEXT_CAP = "attribution.textCap";
    bytes32 internal constant RELIABILITY = "attribution.reliability";
    bytes32 internal constant ROW_COST = "settlement.rowCost";
    bytes32 internal constant SPLIT_PLATFORM = "split.platform";
    bytes32 internal constant SPLIT_MODEL = "split.model";
    bytes32 internal constant SPLIT_STAKERS = "split.stakers";
    bytes32 internal constant SPLIT_RETRIEVAL = "split.retrieval";
    /// @dev Wei for the registration of a Datanet.
    bytes32 internal constant DATANET_FEE = "fee.datanet";
    /// @dev Wei for the registration of a base model or an adapter.
    bytes32 internal constant MODEL_FEE = "fee.model";
    /// @dev Wei locked with a contribution batch.
    bytes32 internal constant CONTRIBUTION_BOND = "bond.contribution";
    /// @dev Seconds between the request of a withdrawal and the withdrawal.
    bytes32 internal constant WITHDRAW_DELAY = "vault.withdrawDelay";
    /// @dev Seconds in which a panel commits, reveals, and may be appealed against.
    bytes32 internal constant CURATION_PHASE = "curation.phase";
    /// @dev Seats of the first panel; each appeal's panel has twice as many and one.
    bytes32 internal constant CURATION_PANEL = "curation.panel";
    /// @dev Panels a case may have, the first one included.
    bytes32 internal constant CURATION_ROUNDS = "curation.rounds";
    /// @dev Wei a reviewer must have at stake to be drawn.
    bytes32 internal constant REVIEWER_BOND = "curation.reviewerBond";
    /// @dev Wei that a challenge pays for each seat.
    bytes32 internal constant SEAT_FEE = "curation.seatFee";
    /// @dev Parts per million of the votes that decide.
    bytes32 internal constant CURATION_MAJORITY = "curation.majority";
    /// @dev Parts per million of a reviewer's bond: no vote, a vote not revealed, a vote against
    /// the final verdict.
    bytes32 internal constant MISS_PENALTY = "curation.missPenalty";
    bytes32 internal constant HIDE_PENALTY = "curation.hidePenalty";
    bytes32 internal constant MINORITY_PENALTY = "curation.minorityPenalty";
    /// @dev Parts per million of known cases that a reviewer must get right, once it had so many.
    bytes32 internal constant MIN_ACCURACY = "curation.minAccuracy";
    bytes32 internal constant ACCURACY_SAMPLE = "curation.accuracySample";
    /// @dev Parts per million: weight of the newest outcome in a contributor's penalty.
    bytes32 internal constant PENALTY_WEIGHT = "curation.penaltyWeight";
    /// @dev Parts per million of a slashed bond for who challenged, and for the panel.
    bytes32 internal constant CHALLENGER_PART = "curation.challengerPart";
    bytes32 internal constant PANEL_PART = "curation.panelPart";
    /// @dev Parts per million of a batch's bond, and the severity of the fault.
    bytes32 internal constant SLASH_PROVEN = "slash.proven";
    bytes32 internal constant SLASH_QUALITY = "slash.quality";
    bytes32 internal constant SLASH_PLAGIARISM = "slash.plagiarism";
    bytes32 internal constant SLASH_ADVERSARIAL = "slash.adversarial";
}
