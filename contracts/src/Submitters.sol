// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Debts} from "./Debts.sol";
import {Governed} from "./Governed.sol";
import {ISubmitters} from "./interfaces/ISubmitters.sol";
import {Keys} from "./libraries/Keys.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements ISubmitters.
abstract contract Submitters is ISubmitters, Debts, Governed {
    using SafeCastLib for uint256;

    mapping(address submitter => Submitter) private _submitters;

    /// @inheritdoc ISubmitters
    function setSubmitter(address submitter, bool allowed) external onlyGovernance {
        _submitters[submitter].allowed = allowed;
        emit SubmitterSet(submitter, allowed);
    }

    /// @inheritdoc ISubmitters
    function bond(address submitter) external payable {
        if (submitter == address(0)) revert ZeroAddress();
        if (msg.value == 0) revert ZeroAmount();
        Submitter storage staker = _submitters[submitter];
        _requireNotUnbonding(submitter, staker.unbondableAt);
        uint96 total = (staker.bond + msg.value).toUint96();
        staker.bond = total;
        emit Bonded(submitter, msg.sender, msg.value, total);
    }

    /// @inheritdoc ISubmitters
    function requestUnbond() external {
        Submitter storage staker = _submitters[msg.sender];
        if (staker.bond == 0) revert ZeroAmount();
        _requireNotUnbonding(msg.sender, staker.unbondableAt);
        uint256 unbondableAt = block.timestamp + 2 * PARAMETERS.get(Keys.SETTLEMENT_WINDOW);
        if (unbondableAt < staker.lastActiveAt) unbondableAt = staker.lastActiveAt;
        staker.unbondableAt = unbondableAt.toUint40();
        emit UnbondRequested(msg.sender, unbondableAt);
    }

    /// @inheritdoc ISubmitters
    function cancelUnbond() external {
        Submitter storage staker = _submitters[msg.sender];
        if (staker.unbondableAt == 0) revert NotUnbonding(msg.sender);
        staker.unbondableAt = 0;
        emit UnbondCancelled(msg.sender);
    }

    /// @inheritdoc ISubmitters
    function unbond(address to) external {
        if (to == address(0)) revert ZeroAddress();
        Submitter storage staker = _submitters[msg.sender];
        (uint256 amount, uint256 unbondableAt) = (staker.bond, staker.unbondableAt);
        if (unbondableAt == 0) revert NotUnbonding(msg.sender);
        if (block.timestamp < unbondableAt) revert BondLocked(msg.sender, unbondableAt);
        staker.bond = 0;
        staker.unbondableAt = 0;
        emit Unbonded(msg.sender, to, amount);
        SafeTransferLib.safeTransferETH(to, amount);
    }

    /// @inheritdoc ISubmitters
    function submitterOf(address submitter) external view returns (Submitter memory) {
        return _submitters[submitter];
    }

    /* ----------------------------------- internals ---------------------------------- */

    /// @dev Reverts unless `submitter` may submit with `required` wei at stake.
    function _requireBonded(address submitter, uint256 required) internal view {
        Submitter memory staker = _submitters[submitter];
        if (!staker.allowed) revert NotSubmitter(submitter);
        _requireNotUnbonding(submitter, staker.unbondableAt);
        if (staker.bond < required) revert BondTooLow(submitter, staker.bond, required);
    }

    /// @dev Keeps a bond at stake until the submitter's newest epoch is active.
    function _holdBond(address submitter, uint40 until) internal {
        _submitters[submitter].lastActiveAt = until;
    }

    /// @dev Takes a whole bond, which the caller has to owe to somebody.
    function _takeBond(address submitter) internal returns (uint256 amount) {
        amount = _submitters[submitter].bond;
        _submitters[submitter].bond = 0;
    }

    function _requireNotUnbonding(address submitter, uint256 unbondableAt) private pure {
        if (unbondableAt != 0) revert Unbonding(submitter, unbondableAt);
    }
}
