// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {SettlementHandler} from "./SettlementHandler.sol";
import {Test} from "./Test.sol";

/// @notice Whatever happens, in whatever order: no wei is lost or doubled, nothing pays more than
/// was drawn for it, epochs stay in order.
abstract contract SettlementInvariants is Test {
    SettlementHandler internal handler;

    function _honest() internal pure virtual returns (bool);

    function setUp() public override {
        super.setUp();
        handler = new SettlementHandler(
            parameters, vault, settlement, epochChallenges, governance, submitter, _honest()
        );
    }

    /// @dev What forge calls: the handler alone.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev Where the wei of the settlement contract are; the equation of its interface.
    function invariant_settlementHoldsExactlyWhatItOwes() public view {
        uint256 held = 0;
        for (uint64 n = 1; n <= handler.highestEpoch(); ++n) {
            held += settlement.epochs(n).total; // counted, or disabled and not refunded
        }
        vm.assertEq(
            address(settlement).balance,
            _bondsAndDebts() + held - settlement.claimedTotal(),
            "settlement's balance"
        );
    }

    function invariant_demandsHoldTheirBonds() public view {
        bytes32[] memory ids = handler.demands();
        uint256 held = epochChallenges.owed(stranger) + epochChallenges.owed(operator);
        for (uint256 i = 0; i < ids.length; ++i) {
            bool again = false; // the same content may come back, and be asked for again
            for (uint256 j = 0; j < i; ++j) {
                again = again || ids[j] == ids[i];
            }
            if (!again) held += epochChallenges.demandOf(ids[i]).bond;
        }
        vm.assertEq(address(epochChallenges).balance, held, "demands' balance");
    }

    function invariant_vaultHoldsExactlyItsBalances() public view {
        uint256 sum = 0;
        for (uint256 i = 0; i < handler.PAYERS(); ++i) {
            sum += vault.balanceOf(handler.payer(i));
        }
        vm.assertEq(address(vault).balance, sum, "vault's balance");
    }

    function invariant_everyWeiIsSomewhere() public view {
        vm.assertEq(
            handler.deposited(),
            handler.withdrawn() + address(vault).balance + address(settlement).balance
                - _bondsAndDebts() + settlement.claimedTotal(),
            "wei deposited"
        );
    }

    function invariant_claimsNeverExceedActiveTotals() public view {
        uint64 active = settlement.latestActive();
        vm.assertLe(
            settlement.claimedTotal(), settlement.epochs(active).cumulativeTotal, "claimed in all"
        );
    }

    function invariant_claimsAreWhatAccountsReceived() public view {
        uint256 sum = 0;
        for (uint256 i = 0; i < handler.EARNERS(); ++i) {
            address earner = handler.earner(i);
            vm.assertEq(earner.balance, settlement.claimed(earner), "received");
            sum += settlement.claimed(earner);
        }
        vm.assertEq(sum, settlement.claimedTotal(), "claimed");
    }

    function invariant_epochsAreInOrder() public view {
        uint64 last = settlement.lastEpoch();
        uint64 active = 0;
        for (uint64 n = 1; n <= last; ++n) {
            IAttributionSettlement.Epoch memory previous = settlement.epochs(n - 1);
            IAttributionSettlement.Epoch memory epoch = settlement.epochs(n);
            vm.assertGe(epoch.activeAt, previous.activeAt, "active in order");
            vm.assertEq(
                epoch.cumulativeTotal, previous.cumulativeTotal + epoch.total, "running total"
            );
            if (epoch.activeAt <= block.timestamp) active = n;
        }
        vm.assertEq(settlement.latestActive(), active, "latest active");
    }

    /// @dev What the settlement holds that was never a payer's.
    function _bondsAndDebts() internal view returns (uint256) {
        return settlement.submitterOf(submitter).bond + settlement.owed(stranger)
            + settlement.owed(treasury);
    }
}

/// @notice With a submitter whose roots grant what was drawn: in the end everybody is paid in full.
contract HonestSettlementInvariants is SettlementInvariants {
    function _honest() internal pure override returns (bool) {
        return true;
    }

    function afterInvariant() public {
        handler.finish();
        vm.assertEq(address(settlement).balance, _bondsAndDebts(), "left over in the settlement");
    }
}

/// @notice With a submitter whose roots grant more, or less, or to the wrong.
contract DishonestSettlementInvariants is SettlementInvariants {
    function _honest() internal pure override returns (bool) {
        return false;
    }
}
