// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {ReceiptContent} from "../src/interfaces/IEpochChallenges.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IReceiptChallenges, ReceiptOpening} from "../src/interfaces/IReceiptChallenges.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {ChallengesBase} from "./ChallengesBase.sol";

/// @notice What a receipt says of its model, and workers that say two things.
contract ModelChallengesTest is ChallengesBase {
    function test_models() public {
        _registerModels();
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        fair.modelOwner = alice;
        _challengeModel(_submit(fair, content), content, NO_FAULT);
        ReceiptContent memory nothing;
        _challengeModel(_submit(_bare("b"), nothing), nothing, NO_FAULT);
        ReceiptOpening memory receipt = _submit(_bare("c"), nothing);
        vm.expectRevert(_wrong("datanets"));
        receiptChallenges.challengeModel(receipt, content.datanets);
    }

    function test_whatTheAdapterIsNotLoses() public {
        _registerModels();
        for (uint256 i = 0; i < 6; ++i) {
            uint256 before = vm.snapshotState();
            (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
            fair.modelOwner = alice;
            if (i == 0) fair.modelOwner = bob;
            if (i == 1) fair.base = "another";
            if (i == 2) fair.indexRoot = "another";
            if (i == 3) fair.adapter = "unknown";
            if (i == 4) content.datanets = new bytes32[](0);
            if (i == 5) content.datanets[0] = "another";
            _challengeModel(_submit(fair, content), content, "");
            vm.revertToState(before);
        }
    }

    function test_whatTheBaseIsNotLoses() public {
        _registerModels();
        for (uint256 i = 0; i < 4; ++i) {
            uint256 before = vm.snapshotState();
            ReceiptContent memory content;
            Receipts.Head memory bare = _bare("b");
            if (i == 0) bare.modelOwner = alice;
            if (i == 1) bare.indexRoot = "one";
            if (i == 2) bare.base = "unknown";
            if (i == 3) content.datanets = new bytes32[](1);
            _challengeModel(_submit(bare, content), content, "");
            vm.revertToState(before);
        }
    }

    function test_aWorkerThatSignsTwoReceiptsOfOneRequestLosesItsStake() public {
        vm.deal(worker, 3 ether);
        vm.prank(worker);
        staking.stake{value: 3 ether}(worker);
        (Receipts.Head memory fair, ReceiptContent memory content) = _fair("r");
        Receipts.Head memory other = _bare("r");
        ReceiptOpening memory receipt = _submit(fair, content);
        (bytes memory signature, bytes memory otherSignature) = (_sign(fair), _sign(other));
        vm.prank(stranger);
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
        vm.assertEq(staking.owed(stranger), 1.5 ether);
        vm.assertEq(staking.validatorOf(worker).stake, 0);
        vm.assertEq(uint256(settlement.statusOf(1)), 3);
        vm.assertEq(settlement.submitterOf(submitter).bond, BOND); // it is not the submitter's
        // fault
    }

    function test_receiptsThatWereNeverSettledEquivocateToo() public {
        vm.deal(worker, 3 ether);
        vm.prank(worker);
        staking.stake{value: 3 ether}(worker);
        ReceiptOpening memory receipt;
        (receipt.head,) = _fair("r");
        Receipts.Head memory other = _bare("r");
        (bytes memory signature, bytes memory otherSignature) = (_sign(receipt.head), _sign(other));
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
        vm.assertEq(staking.validatorOf(worker).stake, 0);
        // Nothing is left for another one.
        vm.expectRevert(
            abi.encodeWithSelector(
                IReceiptChallenges.TooLittleAtStake.selector, worker, 0, MINIMUM_STAKE
            )
        );
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
    }

    function test_equivocationRefuses() public {
        ReceiptOpening memory receipt;
        (receipt.head,) = _fair("r");
        Receipts.Head memory other = _bare("r");
        (bytes memory signature, bytes memory otherSignature) = (_sign(receipt.head), _sign(other));
        vm.expectRevert(NO_FAULT); // the same receipt
        receiptChallenges.challengeEquivocation(receipt, signature, receipt.head, signature);
        Receipts.Head memory elsewhere = _bare("another");
        vm.expectRevert(NO_FAULT); // another request
        receiptChallenges.challengeEquivocation(receipt, signature, elsewhere, otherSignature);
        other.worker = stranger;
        vm.expectRevert(NO_FAULT); // another worker
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
        other.worker = worker;
        bytes memory forged = _signWith(0xBAD, _digest(other));
        vm.expectRevert(_wrong("signature"));
        receiptChallenges.challengeEquivocation(receipt, signature, other, forged);
        vm.expectRevert(_wrong("signature"));
        receiptChallenges.challengeEquivocation(receipt, otherSignature, other, otherSignature);
        // What was signed for another chain says nothing here.
        vm.chainId(7);
        vm.expectRevert(_wrong("signature"));
        receiptChallenges.challengeEquivocation(receipt, signature, other, otherSignature);
    }

    function _challengeModel(
        ReceiptOpening memory receipt,
        ReceiptContent memory content,
        bytes memory refusal
    ) private {
        _expect(refusal);
        receiptChallenges.challengeModel(receipt, content.datanets);
        _settle(receipt.epoch, refusal);
    }

    function _sign(Receipts.Head memory receipt) private view returns (bytes memory) {
        return _signWith(WORKER_KEY, _digest(receipt));
    }

    function _registerModels() private {
        bytes32 datanet = keccak256("dn_1");
        vm.prank(operator);
        datanets.createDatanet{value: DATANET_FEE}(
            datanet, alice, "metadata", LICENCE, IDatanetRegistry.Access.Open
        );
        vm.prank(operator);
        datanets.publishVersion(datanet, 1, VERSION, "manifest", 3);
        vm.prank(operator);
        models.registerBase{value: MODEL_FEE}(BASE, bob, 5, "manifest");
        bytes32[] memory roots = new bytes32[](1);
        roots[0] = VERSION;
        bytes32 index = _setRoot(_indexLeaves());
        vm.prank(operator);
        models.registerAdapter{value: MODEL_FEE}(
            IModelRegistry.AdapterRegistration({
                digest: ADAPTER,
                base: BASE,
                indexRoot: index,
                manifestHash: "manifest",
                owner: alice,
                pricePerToken: 9,
                datanetRoots: roots
            })
        );
    }
}
