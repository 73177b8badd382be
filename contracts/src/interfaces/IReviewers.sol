// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Who sits on panels
/// @notice A reviewer locks a bond and is drawn by lot: one reviewer, one seat, however large the
/// bond.
interface IReviewers {
    /// @param bond Wei at stake.
    /// @param since Unix time at which it was last listed; zero while it is not.
    /// @param seats Seats in cases that are not closed; the bond stays until there are none.
    /// @param known Known cases it has voted on.
    /// @param right How many of them it got right.
    struct Reviewer {
        uint96 bond;
        uint40 since;
        uint16 seats;
        uint32 known;
        uint32 right;
    }

    event Enlisted(address indexed reviewer, uint256 bond);
    event Resigned(address indexed reviewer);
    event Penalised(address indexed reviewer, uint256 amount, uint256 bond);
    event BondReturned(address indexed reviewer, uint256 amount);

    error BondTooLow(address reviewer, uint256 bond, uint256 required);
    error TooManyReviewers(uint256 max);
    error NotListed(address reviewer);
    error StillListed(address reviewer);
    error StillSeated(address reviewer, uint256 seats);
    error NotAccurate(address reviewer, uint256 right, uint256 known);

    /// @notice Adds the sent wei to the caller's bond and lists it, if the bond is high enough and
    /// it was not found wrong too often.
    function enlist() external payable;

    /// @notice Takes the caller off the list; seats it has stay its own.
    function resign() external;

    /// @notice Returns the bond of a reviewer that is off the list and has no seat, to itself.
    function returnBond() external;

    function reviewerOf(address account) external view returns (Reviewer memory);

    /// @notice Number of listed reviewers.
    function reviewers() external view returns (uint256);
}
