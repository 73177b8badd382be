// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOpenGovernor} from "./interfaces/IOpenGovernor.sol";
import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {
    GovernorCountingSimple
} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {
    GovernorPreventLateQuorum
} from "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorStorage} from "@openzeppelin/contracts/governance/extensions/GovernorStorage.sol";
import {
    GovernorTimelockControl
} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

/// @notice Implements IOpenGovernor on OpenZeppelin's Governor. Proposals are stored, so that they
/// are queued and executed by their id.
contract OpenGovernor is
    IOpenGovernor,
    GovernorSettings,
    GovernorCountingSimple,
    GovernorStorage,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorTimelockControl
{
    /// @inheritdoc IOpenGovernor
    mapping(address target => bool) public isTarget;
    /// @inheritdoc IOpenGovernor
    uint256 public minimumSupply;

    /// @param targets Contracts that proposals may call besides this one.
    constructor(
        IVotes votes,
        TimelockController timelock,
        Settings memory settings,
        address[] memory targets
    )
        Governor("OpenGovernor")
        GovernorSettings(settings.votingDelay, settings.votingPeriod, settings.proposalThreshold)
        GovernorVotes(votes)
        GovernorVotesQuorumFraction(settings.quorumPercent)
        GovernorPreventLateQuorum(settings.lateQuorumExtension)
        GovernorTimelockControl(timelock)
    {
        _setMinimumSupply(settings.minimumSupply);
        _setTarget(address(this), true);
        for (uint256 i = 0; i < targets.length; ++i) {
            _setTarget(targets[i], true);
        }
    }

    /// @inheritdoc IOpenGovernor
    function setTarget(address target, bool allowed) external onlyGovernance {
        _setTarget(target, allowed);
    }

    /// @inheritdoc IOpenGovernor
    function setMinimumSupply(uint256 minimum) external onlyGovernance {
        _setMinimumSupply(minimum);
    }

    /// @notice Nothing: it could call the timelock, and so every contract, past the list of
    /// targets.
    function relay(address, uint256, bytes calldata) public payable override {
        revert RelayDisabled();
    }

    /// @notice Votes that must take part in a vote that began at `timepoint`.
    function quorum(uint256 timepoint)
        public
        view
        override(Governor, GovernorVotesQuorumFraction)
        returns (uint256)
    {
        uint256 least = minimumSupply * quorumNumerator(timepoint) / quorumDenominator();
        uint256 fraction = super.quorum(timepoint);
        return fraction < least ? least : fraction;
    }

    function proposalThreshold()
        public
        view
        override(Governor, GovernorSettings)
        returns (uint256)
    {
        return super.proposalThreshold();
    }

    function proposalDeadline(uint256 proposalId)
        public
        view
        override(Governor, GovernorPreventLateQuorum)
        returns (uint256)
    {
        return super.proposalDeadline(proposalId);
    }

    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function state(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (ProposalState)
    {
        return super.state(proposalId);
    }

    function _propose(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        string memory description,
        address proposer
    ) internal override(Governor, GovernorStorage) returns (uint256) {
        // Of a second ago: what is wrapped for one transaction does not count.
        uint256 supply = token().getPastTotalSupply(clock() - 1);
        if (supply < minimumSupply) revert SupplyBelowMinimum(supply, minimumSupply);
        _requireTargets(targets);
        return super._propose(targets, values, calldatas, description, proposer);
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        _requireTargets(targets);
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        _requireTargets(targets);
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _tallyUpdated(uint256 proposalId)
        internal
        override(Governor, GovernorPreventLateQuorum)
    {
        super._tallyUpdated(proposalId);
    }

    function _executor()
        internal
        view
        override(Governor, GovernorTimelockControl)
        returns (address)
    {
        return super._executor();
    }

    function _setTarget(address target, bool allowed) private {
        isTarget[target] = allowed;
        emit TargetSet(target, allowed);
    }

    function _setMinimumSupply(uint256 minimum) private {
        emit MinimumSupplySet(minimumSupply, minimum);
        minimumSupply = minimum;
    }

    function _requireTargets(address[] memory targets) private view {
        for (uint256 i = 0; i < targets.length; ++i) {
            if (!isTarget[targets[i]]) revert TargetNotAllowed(targets[i]);
        }
    }
}
