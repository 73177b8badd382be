// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {Reentrant, Refuser} from "./Receivers.sol";
import {Test} from "./Test.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

contract DatanetRegistryTest is Test {
    bytes32 private constant DATANET = keccak256("dn_1");
    bytes32 private constant BATCH = keccak256("batch");
    bytes32 private constant ROOT = keccak256("root");
    bytes32 private constant HASH = keccak256("hash");

    function test_createByOwnerAndByOperator() public {
        vm.prank(alice);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, alice, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
        vm.prank(operator);
        datanets.createDatanet{value: DATANET_FEE}(
            keccak256("dn_2"), alice, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
        IDatanetRegistry.Datanet memory datanet = datanets.datanetOf(DATANET);
        vm.assertEq(datanet.owner, alice);
        vm.assertEq(datanet.versions, 0);
        vm.assertEq(datanet.createdAt, block.timestamp);
        vm.assertEq(datanet.metadataHash, HASH);
        vm.assertEq(datanets.fees(), 2 * DATANET_FEE);
    }

    function test_createRefuses() public {
        _refuse(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, bob, alice));
        vm.prank(bob);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, alice, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
        _refuse(abi.encodeWithSelector(IRegistry.WrongValue.selector, DATANET_FEE - 1, DATANET_FEE));
        vm.prank(alice);
        datanets.createDatanet{value: DATANET_FEE - 1}(
            DATANET, alice, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
        _refuse(abi.encodeWithSelector(IRegistry.WrongValue.selector, DATANET_FEE + 1, DATANET_FEE));
        vm.prank(alice);
        datanets.createDatanet{value: DATANET_FEE + 1}(
            DATANET, alice, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
        _refuse(abi.encodeWithSelector(IRegistry.ZeroValue.selector));
        vm.prank(operator);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, address(0), HASH, LICENCE, IDatanetRegistry.Access.Open
        );
        _create();
        _refuse(abi.encodeWithSelector(IDatanetRegistry.DatanetExists.selector, DATANET));
        vm.prank(bob);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, bob, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
    }

    function test_anchorLocksTheBondOfWhoPays() public {
        _create();
        _anchor(operator, bob);
        IDatanetRegistry.Batch memory batch = datanets.batchOf(BATCH);
        vm.assertEq(batch.root, ROOT);
        vm.assertEq(batch.datanet, DATANET);
        vm.assertEq(batch.pipelineHash, HASH);
        vm.assertEq(batch.contributor, bob);
        vm.assertEq(batch.anchoredAt, block.timestamp);
        vm.assertEq(batch.window, WINDOW);
        vm.assertEq(batch.count, 3);
        vm.assertEq(batch.payer, operator);
        vm.assertEq(batch.bond, CONTRIBUTION_BOND);
        vm.assertEq(address(datanets).balance, DATANET_FEE + CONTRIBUTION_BOND);
    }

    function test_anchorRefuses() public {
        _refuse(abi.encodeWithSelector(IDatanetRegistry.UnknownDatanet.selector, DATANET));
        _anchor(bob, bob);
        _create();
        _refuse(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, alice, bob));
        _anchor(alice, bob);
        _refuse(abi.encodeWithSelector(IRegistry.WrongValue.selector, 0, CONTRIBUTION_BOND));
        vm.prank(bob);
        datanets.anchorBatch(DATANET, BATCH, ROOT, 3, bob, HASH);
        _refuse(abi.encodeWithSelector(IRegistry.ZeroValue.selector));
        vm.prank(bob);
        datanets.anchorBatch{value: CONTRIBUTION_BOND}(DATANET, BATCH, 0, 3, bob, HASH);
        _refuse(abi.encodeWithSelector(IRegistry.ZeroValue.selector));
        vm.prank(bob);
        datanets.anchorBatch{value: CONTRIBUTION_BOND}(DATANET, BATCH, ROOT, 0, bob, HASH);
        _anchor(bob, bob);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.BatchExists.selector, BATCH));
        _anchor(bob, bob);
    }

    function test_bondReturnsOnceAfterTheWindow() public {
        _create();
        _anchor(bob, bob);
        uint256 until = block.timestamp + WINDOW;
        // A longer window for later batches does not hold this one.
        _setParameter("settlement.window", 10 * WINDOW);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.BondLocked.selector, BATCH, until));
        datanets.releaseBond(BATCH);
        vm.warp(until);
        uint256 before = bob.balance;
        datanets.releaseBond(BATCH);
        vm.assertEq(bob.balance, before + CONTRIBUTION_BOND);
        _refuse(
            abi.encodeWithSelector(
                IDatanetRegistry.WrongState.selector, BATCH, IDatanetRegistry.BatchState.Released
            )
        );
        datanets.releaseBond(BATCH);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.UnknownBatch.selector, ROOT));
        datanets.releaseBond(ROOT);
    }

    function test_reentrantPayerGetsItsBondOnce() public {
        _create();
        Reentrant payer = new Reentrant();
        vm.deal(address(payer), 1 ether);
        payer.execute(
            address(datanets),
            CONTRIBUTION_BOND,
            abi.encodeCall(datanets.anchorBatch, (DATANET, BATCH, ROOT, 3, address(payer), HASH))
        );
        payer.prepare(address(datanets), abi.encodeCall(datanets.releaseBond, (BATCH)));
        vm.warp(block.timestamp + WINDOW);
        datanets.releaseBond(BATCH);
        vm.assertTrue(payer.entered() && !payer.succeeded(), "re-entered");
        vm.assertEq(bytes32(payer.refusal()), bytes32(IDatanetRegistry.WrongState.selector));
        vm.assertEq(address(payer).balance, 1 ether);
    }

    function test_versionsCountUpFromOne() public {
        _create();
        vm.prank(alice);
        datanets.publishVersion(DATANET, 1, ROOT, HASH, 3);
        vm.prank(operator);
        datanets.publishVersion(DATANET, 2, keccak256("root 2"), HASH, 4);
        IDatanetRegistry.Version memory version = datanets.versionOf(keccak256("root 2"));
        vm.assertEq(version.datanet, DATANET);
        vm.assertEq(version.manifestHash, HASH);
        vm.assertEq(version.version, 2);
        vm.assertEq(version.records, 4);
        vm.assertEq(version.publishedAt, block.timestamp);
        vm.assertEq(datanets.datanetOf(DATANET).versions, 2);
    }

    function test_publishRefuses() public {
        _create();
        _refuse(abi.encodeWithSelector(IDatanetRegistry.VersionOutOfOrder.selector, 2, 1));
        _publish(2, ROOT);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.VersionOutOfOrder.selector, 0, 1));
        _publish(0, ROOT);
        _refuse(abi.encodeWithSelector(IRegistry.ZeroValue.selector));
        _publish(1, 0);
        _refuse(abi.encodeWithSelector(IRegistry.ZeroValue.selector));
        vm.prank(alice);
        datanets.publishVersion(DATANET, 1, ROOT, HASH, 0);
        _refuse(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, bob, alice));
        vm.prank(bob);
        datanets.publishVersion(DATANET, 1, ROOT, HASH, 3);
        _publish(1, ROOT);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.RootPublished.selector, ROOT, DATANET, 1));
        _publish(2, ROOT);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.UnknownDatanet.selector, HASH));
        vm.prank(alice);
        datanets.publishVersion(HASH, 1, ROOT, HASH, 3);
    }

    function test_termsHoldForWhatComes() public {
        _create();
        vm.prank(alice);
        datanets.publishVersion(DATANET, 1, ROOT, HASH, 3);
        vm.prank(operator);
        datanets.setTerms(DATANET, HASH, IDatanetRegistry.Access.Gated);
        vm.prank(alice);
        datanets.publishVersion(DATANET, 2, HASH, HASH, 3);
        vm.assertEq(datanets.versionOf(ROOT).licence, LICENCE);
        vm.assertEq(datanets.versionOf(HASH).licence, HASH);
        vm.assertEq(datanets.datanetOf(DATANET).licence, HASH);
        _refuse(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, bob, alice));
        vm.prank(bob);
        datanets.setTerms(DATANET, LICENCE, IDatanetRegistry.Access.Open);
    }

    function test_aGatedDatanetTakesFromWhomItAdmits() public {
        _create();
        vm.prank(alice);
        datanets.setTerms(DATANET, LICENCE, IDatanetRegistry.Access.Gated);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.NotAdmitted.selector, DATANET, bob));
        _anchor(bob, bob);
        _refuse(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, bob, alice));
        vm.prank(bob);
        datanets.admit(DATANET, bob, true);
        vm.prank(alice);
        datanets.admit(DATANET, bob, true);
        _anchor(bob, bob);
        vm.assertTrue(datanets.isAdmitted(DATANET, bob), "admitted");
    }

    function test_ownerAndGovernanceRevokeVersions() public {
        _create();
        vm.prank(alice);
        datanets.publishVersion(DATANET, 1, ROOT, HASH, 3);
        _refuse(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, operator, alice));
        vm.prank(operator);
        datanets.revokeVersion(ROOT);
        vm.prank(governance);
        datanets.revokeVersion(ROOT);
        vm.assertTrue(datanets.versionOf(ROOT).revoked, "revoked");
        _refuse(abi.encodeWithSelector(IDatanetRegistry.VersionIsRevoked.selector, ROOT));
        vm.prank(alice);
        datanets.revokeVersion(ROOT);
        vm.prank(alice);
        datanets.publishVersion(DATANET, 2, HASH, HASH, 3);
        vm.prank(alice);
        datanets.revokeVersion(HASH);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.UnknownVersion.selector, LICENCE));
        datanets.revokeVersion(LICENCE);
    }

    function test_curationIsNamedByGovernanceAndRejectsOnce() public {
        _refuse(abi.encodeWithSelector(IParameters.NotGovernance.selector, alice));
        vm.prank(alice);
        datanets.setCuration(alice);
        vm.prank(governance);
        datanets.setCuration(stranger);
        vm.assertEq(datanets.curation(), stranger);
        _create();
        _anchor(bob, bob);
        bytes memory refusal = abi.encodeWithSelector(
            IDatanetRegistry.WrongState.selector, BATCH, IDatanetRegistry.BatchState.Anchored
        );
        _refuse(refusal);
        vm.prank(stranger);
        datanets.acquit(BATCH);
        uint256 before = stranger.balance;
        vm.prank(stranger);
        vm.assertEq(datanets.reject(BATCH, 1_000_000), CONTRIBUTION_BOND);
        vm.assertEq(stranger.balance, before + CONTRIBUTION_BOND);
        _refuse(
            abi.encodeWithSelector(
                IDatanetRegistry.WrongState.selector, BATCH, IDatanetRegistry.BatchState.Rejected
            )
        );
        vm.prank(stranger);
        datanets.reject(BATCH, 1);
    }

    function test_cleanWorkHealsAPenalty() public {
        vm.prank(governance);
        datanets.setCuration(stranger);
        _create();
        _anchor(bob, bob);
        vm.prank(stranger);
        datanets.reject(BATCH, 500_000);
        vm.assertEq(datanets.penaltyOf(bob), 75_000);
        vm.prank(bob);
        datanets.anchorBatch{value: CONTRIBUTION_BOND}(DATANET, ROOT, ROOT, 3, bob, HASH);
        vm.warp(block.timestamp + WINDOW);
        datanets.releaseBond(ROOT);
        vm.assertEq(datanets.penaltyOf(bob), 63_750);
    }

    function test_aPenaltyIsAtMostWhole() public {
        vm.prank(governance);
        datanets.setCuration(stranger);
        _setParameter("curation.penaltyWeight", 1_000_000);
        _create();
        _anchor(bob, bob);
        vm.prank(stranger);
        datanets.reject(BATCH, 1_000_000);
        vm.assertEq(datanets.penaltyOf(bob), 1_000_000);
    }

    function test_aPayerThatRefusesItsRestDoesNotBlockAVerdict() public {
        vm.prank(governance);
        datanets.setCuration(stranger);
        _create();
        Refuser payer = new Refuser();
        vm.deal(address(payer), 1 ether);
        vm.prank(address(payer));
        datanets.anchorBatch{value: CONTRIBUTION_BOND}(
            DATANET, BATCH, ROOT, 3, address(payer), HASH
        );
        vm.prank(stranger);
        datanets.reject(BATCH, 200_000);
        vm.assertEq(address(payer).balance, 1 ether - CONTRIBUTION_BOND / 5);
    }

    function test_viewsRevertOnUnknown() public {
        _refuse(abi.encodeWithSelector(IDatanetRegistry.UnknownDatanet.selector, HASH));
        datanets.datanetOf(HASH);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.UnknownBatch.selector, HASH));
        datanets.batchOf(HASH);
        _refuse(abi.encodeWithSelector(IDatanetRegistry.UnknownVersion.selector, HASH));
        datanets.versionOf(HASH);
    }

    function test_feesAreCollectedAndBondsAreNot() public {
        _create();
        _anchor(bob, bob);
        _refuse(abi.encodeWithSelector(IParameters.NotGovernance.selector, alice));
        vm.prank(alice);
        datanets.collectFees(alice);
        uint256 before = stranger.balance;
        vm.prank(governance);
        datanets.collectFees(stranger);
        vm.assertEq(stranger.balance, before + DATANET_FEE);
        vm.assertEq(datanets.fees(), 0);
        vm.assertEq(address(datanets).balance, CONTRIBUTION_BOND);
        vm.warp(block.timestamp + WINDOW);
        datanets.releaseBond(BATCH);
        vm.assertEq(address(datanets).balance, 0);
    }

    function test_feesStayWhenTheirReceiverRefuses() public {
        _create();
        address refuser = address(new Refuser());
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector);
        vm.prank(governance);
        datanets.collectFees(refuser);
        vm.assertEq(datanets.fees(), DATANET_FEE);
    }

    function test_onlyGovernanceAppointsTheOperator() public {
        _refuse(abi.encodeWithSelector(IParameters.NotGovernance.selector, operator));
        vm.prank(operator);
        datanets.setOperator(bob);
        vm.prank(governance);
        datanets.setOperator(address(0));
        _refuse(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, operator, alice));
        vm.prank(operator);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, alice, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
    }

    function _refuse(bytes memory reason) private {
        vm.expectRevert(reason);
    }

    function _create() private {
        vm.prank(alice);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, alice, HASH, LICENCE, IDatanetRegistry.Access.Open
        );
    }

    function _anchor(address payer, address contributor) private {
        vm.prank(payer);
        datanets.anchorBatch{value: CONTRIBUTION_BOND}(DATANET, BATCH, ROOT, 3, contributor, HASH);
    }

    function _publish(uint32 version, bytes32 root) private {
        vm.prank(alice);
        datanets.publishVersion(DATANET, version, root, HASH, 3);
    }
}
