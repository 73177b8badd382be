// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What OpenGovernor adds to OpenZeppelin's Governor
/// @notice Proposals may call listed contracts only, and nothing passes while too little OPEN takes
/// part: with little OPEN wrapped or staked a few wei would otherwise be a majority.
interface IOpenGovernor {
    /// @param votingDelay Seconds between a proposal and its vote.
    /// @param votingPeriod Seconds of the vote.
    /// @param lateQuorumExtension Seconds for which a vote stays open at least after its quorum is
    /// reached.
    /// @param proposalThreshold Votes (wei) a proposer needs.
    /// @param quorumPercent Percent of all votes that must take part.
    /// @param minimumSupply Wei that must be wrapped or staked for a proposal, and of which the
    /// quorum is taken at the least.
    struct Settings {
        uint48 votingDelay;
        uint32 votingPeriod;
        uint48 lateQuorumExtension;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint256 minimumSupply;
    }

    event TargetSet(address indexed target, bool allowed);
    event MinimumSupplySet(uint256 previous, uint256 minimumSupply);

    error TargetNotAllowed(address target);
    error SupplyBelowMinimum(uint256 supply, uint256 minimum);
    error RelayDisabled();

    /// @notice Lets proposals call a contract, or no longer; by a passed proposal. Checked when a
    /// proposal is made, queued and executed. The timelock itself is not listed at first: to change
    /// its roles takes two proposals, the first of which everybody can see coming.
    function setTarget(address target, bool allowed) external;

    /// @notice Moves the minimum supply; by a passed proposal.
    function setMinimumSupply(uint256 minimumSupply) external;

    function isTarget(address target) external view returns (bool);

    function minimumSupply() external view returns (uint256);
}
