// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDebts} from "./IDebts.sol";

/// @title Who may submit epochs, and what they have at stake
interface ISubmitters is IDebts {
    /// @param bond Wei at stake.
    /// @param unbondableAt Unix time from which the bond can be taken out; zero when not unbonding.
    /// @param lastActiveAt Unix time at which the submitter's last epoch becomes active.
    /// @param allowed Whether governance lets it submit.
    struct Submitter {
        uint96 bond;
        uint40 unbondableAt;
        uint40 lastActiveAt;
        bool allowed;
    }

    event SubmitterSet(address indexed submitter, bool allowed);
    event Bonded(address indexed submitter, address indexed from, uint256 amount, uint256 bond);
    event UnbondRequested(address indexed submitter, uint256 unbondableAt);
    event UnbondCancelled(address indexed submitter);
    event Unbonded(address indexed submitter, address indexed to, uint256 amount);

    error NotSubmitter(address caller);
    error BondTooLow(address submitter, uint256 bond, uint256 required);
    error Unbonding(address submitter, uint256 unbondableAt);
    error NotUnbonding(address submitter);
    error BondLocked(address submitter, uint256 unbondableAt);

    /// @notice Admits or dismisses a submitter, by governance. A dismissed one keeps its bond.
    function setSubmitter(address submitter, bool allowed) external;

    /// @notice Adds the sent wei to a submitter's bond; anyone may stake for it, but only the
    /// submitter gets the bond back.
    function bond(address submitter) external payable;

    /// @notice Starts taking the caller's bond out; from now on the caller cannot submit.
    /// @dev Effects: the bond stays at stake for twice the window, and until the caller's last
    /// epoch is active.
    function requestUnbond() external;

    /// @notice Keeps the caller's bond at stake after all.
    function cancelUnbond() external;

    /// @notice Sends the caller's whole bond to `to`, once the request has waited long enough.
    function unbond(address to) external;

    function submitterOf(address submitter) external view returns (Submitter memory);
}
