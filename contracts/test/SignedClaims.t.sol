// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttributionSettlement} from "../src/AttributionSettlement.sol";
import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {IDebts} from "../src/interfaces/IDebts.sol";
import {ISubmitters} from "../src/interfaces/ISubmitters.sol";
import {Reentrant, Refuser, SigningWallet} from "./Receivers.sol";
import {Test} from "./Test.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Claims by signature, and bonds that grow with what is pending.
contract SignedClaimsTest is Test {
    uint256 private constant KEY = 0xA11CE;
    bytes32 private constant CLAIM = keccak256(
        "Claim(address account,address to,uint256 cumulative,uint64 epoch,uint256 maxFee,uint256 nonce,uint256 deadline)"
    );

    address private signer;
    bytes32[] private proof;

    function setUp() public override {
        super.setUp();
        signer = vm.addr(KEY);
        _deposit(operator, 100 ether);
        bytes32 root;
        (root, proof,) = _pair(signer, 2 ether, bob, 1 ether);
        _submit(operator, 3 ether, root);
        vm.warp(block.timestamp + WINDOW);
    }

    function test_aRelayerClaimsForAFee() public {
        IAttributionSettlement.SignedClaim memory signed = _signed();
        bytes memory signature = _sign(signed, 0);
        uint256 before = stranger.balance;
        vm.prank(stranger);
        settlement.claimBySignature(signed, 0, proof, signature, 0.01 ether);
        vm.assertEq(stranger.balance, before + 0.01 ether);
        vm.assertEq(signed.to.balance, 1.99 ether);
        vm.assertEq(settlement.claimed(signer), 2 ether);
        vm.assertEq(settlement.nonces(signer), 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.InvalidSignature.selector, signer)
        );
        settlement.claimBySignature(signed, 0, proof, signature, 0);
    }

    function test_whatWasNotSignedIsRefused() public {
        IAttributionSettlement.SignedClaim memory signed = _signed();
        bytes memory signature = _sign(signed, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.FeeTooHigh.selector, 0.01 ether + 1, 0.01 ether
            )
        );
        settlement.claimBySignature(signed, 0, proof, signature, 0.01 ether + 1);
        bytes memory invalid =
            abi.encodeWithSelector(IAttributionSettlement.InvalidSignature.selector, signer);
        signed.to = stranger;
        vm.expectRevert(invalid);
        settlement.claimBySignature(signed, 0, proof, signature, 0);
        signed = _signed();
        signed.maxFee = 1 ether;
        vm.expectRevert(invalid);
        settlement.claimBySignature(signed, 0, proof, signature, 0);
        signed = _signed();
        bytes memory early = _sign(signed, 1);
        vm.expectRevert(invalid);
        settlement.claimBySignature(signed, 0, proof, early, 0);
        vm.chainId(1);
        vm.expectRevert(invalid);
        settlement.claimBySignature(signed, 0, proof, signature, 0);
        vm.chainId(31_337);
        vm.warp(signed.deadline + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.SignatureExpired.selector, signed.deadline
            )
        );
        settlement.claimBySignature(signed, 0, proof, signature, 0);
    }

    function test_forgedAndMalformedSignaturesAreRefused() public {
        IAttributionSettlement.SignedClaim memory signed = _signed();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, _digest(signed, 0));
        (uint8 otherV, bytes32 otherR, bytes32 otherS) = vm.sign(0xBAD, _digest(signed, 0));
        bytes[5] memory forged = [
            abi.encodePacked(otherR, otherS, otherV), // somebody else's
            abi.encodePacked(r, s, v == 27 ? 28 : 27),
            abi.encodePacked(r), // too short
            abi.encodePacked(r, s, v, uint8(0)), // too long
            bytes("")
        ];
        for (uint256 i = 0; i < forged.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IAttributionSettlement.InvalidSignature.selector, signer)
            );
            settlement.claimBySignature(signed, 0, proof, forged[i], 0);
        }
        vm.assertEq(settlement.nonces(signer), 0);
        // Nobody signs for the zero address.
        signed.account = address(0);
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.InvalidSignature.selector, address(0))
        );
        settlement.claimBySignature(signed, 0, proof, forged[0], 0);
    }

    function test_aSignatureForAnotherContractIsRefused() public {
        AttributionSettlement other = new AttributionSettlement(
            parameters, vault, IAttributionSettlement.Links(alice, alice, alice, alice)
        );
        IAttributionSettlement.SignedClaim memory signed = _signed();
        bytes memory signature = _sign(signed, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.InvalidSignature.selector, signer)
        );
        other.claimBySignature(signed, 0, proof, signature, 0);
    }

    function test_whatIsSignedMustBeSound() public {
        IAttributionSettlement.SignedClaim memory signed = _signed();
        signed.to = address(0);
        bytes memory signature = _sign(signed, 0);
        vm.expectRevert(IDebts.ZeroAddress.selector);
        settlement.claimBySignature(signed, 0, proof, signature, 0);
        signed = _signed();
        signed.maxFee = type(uint256).max;
        signature = _sign(signed, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.FeeTooHigh.selector, 2 ether + 1, 2 ether)
        );
        settlement.claimBySignature(signed, 0, proof, signature, 2 ether + 1);
        signed.cumulative = type(uint256).max;
        signature = _sign(signed, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAttributionSettlement.InvalidProof.selector, signer, type(uint256).max, 1
            )
        );
        settlement.claimBySignature(signed, 0, proof, signature, 0);
    }

    function test_aWalletContractSigns() public {
        SigningWallet wallet = new SigningWallet();
        bytes32[] memory walletProof;
        bytes32 root;
        (root, walletProof,) = _pair(address(wallet), 1 ether, signer, 2 ether);
        _submit(operator, 1 ether, root);
        vm.warp(block.timestamp + WINDOW);
        IAttributionSettlement.SignedClaim memory signed = _signed();
        (signed.account, signed.cumulative, signed.epoch) = (address(wallet), 1 ether, 2);
        bytes memory refusal = abi.encodeWithSelector(
            IAttributionSettlement.InvalidSignature.selector, address(wallet)
        );
        vm.expectRevert(refusal);
        settlement.claimBySignature(signed, 0, walletProof, "", 0);
        wallet.approve(_digest(signed, 0));
        settlement.claimBySignature(signed, 0, walletProof, "", 0);
        vm.assertEq(settlement.claimed(address(wallet)), 1 ether);
        vm.expectRevert(refusal); // the nonce is another
        settlement.claimBySignature(signed, 0, walletProof, "", 0);
    }

    function test_receiversThatRefuseOrReenterChangeNothing() public {
        Refuser refuser = new Refuser();
        IAttributionSettlement.SignedClaim memory signed = _signed();
        bytes memory signature = _sign(signed, 0);
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector); // its fee
        vm.prank(address(refuser));
        settlement.claimBySignature(signed, 0, proof, signature, 1);
        signed.to = address(refuser);
        signature = _sign(signed, 0);
        vm.expectRevert(SafeTransferLib.ETHTransferFailed.selector);
        settlement.claimBySignature(signed, 0, proof, signature, 0);
        vm.assertEq(settlement.nonces(signer), 0);
        vm.assertEq(settlement.claimed(signer), 0);

        Reentrant receiver = new Reentrant();
        signed.to = address(receiver);
        signature = _sign(signed, 0);
        receiver.prepare(
            address(settlement),
            abi.encodeCall(settlement.claimBySignature, (signed, 0, proof, signature, 0))
        );
        settlement.claimBySignature(signed, 0, proof, signature, 0);
        vm.assertTrue(receiver.entered() && !receiver.succeeded(), "re-entered");
        vm.assertEq(
            bytes32(receiver.refusal()), bytes32(IAttributionSettlement.InvalidSignature.selector)
        );
        vm.assertEq(address(receiver).balance, 2 ether);
    }

    function testFuzz_theFeeIsTheRelayersAndTheRestTheSigners(uint256 fee) public {
        IAttributionSettlement.SignedClaim memory signed = _signed();
        signed.maxFee = 2 ether;
        fee = _bound(fee, 0, 2 ether);
        bytes memory signature = _sign(signed, 0);
        uint256 before = stranger.balance;
        vm.prank(stranger);
        settlement.claimBySignature(signed, 0, proof, signature, fee);
        vm.assertEq(stranger.balance - before, fee);
        vm.assertEq(signed.to.balance, 2 ether - fee);
    }

    function test_theBondGrowsWithWhatIsPending() public {
        _setParameter("settlement.bondRatio", 2_000_000);
        vm.assertEq(settlement.requiredBond(5 ether), BOND); // nothing else is pending
        vm.assertEq(settlement.requiredBond(6 ether), 12 ether);
        _submit(operator, 4 ether, "root");
        IAttributionSettlement.Submission memory next = _submission(2 ether, "root");
        vm.expectRevert(
            abi.encodeWithSelector(ISubmitters.BondTooLow.selector, submitter, BOND, 12 ether)
        );
        vm.prank(submitter);
        settlement.submitEpoch(next, _draws(operator, 2 ether));
        vm.warp(block.timestamp + WINDOW);
        vm.prank(submitter);
        settlement.submitEpoch(next, _draws(operator, 2 ether));
        vm.assertEq(settlement.requiredBond(0), BOND);
    }

    function test_onlyTrustedContractsDeclareFaults() public {
        _submit(operator, 1 ether, "root");
        for (uint256 i = 0; i < 3; ++i) {
            address caller = [stranger, governance, submitter][i];
            vm.expectRevert(
                abi.encodeWithSelector(IAttributionSettlement.NotTrusted.selector, caller)
            );
            vm.prank(caller);
            settlement.fault(2, caller);
        }
        vm.expectRevert(
            abi.encodeWithSelector(IAttributionSettlement.NotTrusted.selector, stranger)
        );
        vm.prank(stranger);
        settlement.disable(2);
        vm.expectRevert(abi.encodeWithSelector(IAttributionSettlement.EpochNotPending.selector, 1));
        vm.prank(address(receiptChallenges));
        settlement.fault(1, stranger); // active: too late
        vm.prank(address(receiptChallenges));
        settlement.fault(2, stranger);
        vm.assertEq(settlement.owed(stranger), BOND / 2);
        vm.assertEq(settlement.owed(treasury), BOND / 2);
        uint256 before = stranger.balance;
        vm.prank(stranger);
        settlement.withdrawOwed(stranger);
        vm.assertEq(stranger.balance, before + BOND / 2);
        settlement.refund(2, _draws(operator, 1 ether));
        // What is left is the active epoch's and the treasury's.
        vm.assertEq(address(settlement).balance, 3 ether + BOND / 2);
    }

    function _signed() private view returns (IAttributionSettlement.SignedClaim memory) {
        return IAttributionSettlement.SignedClaim({
            account: signer,
            to: address(0xB0B0),
            cumulative: 2 ether,
            epoch: 1,
            maxFee: 0.01 ether,
            deadline: 2_000_000
        });
    }

    function _sign(IAttributionSettlement.SignedClaim memory signed, uint256 nonce)
        private
        view
        returns (bytes memory)
    {
        return _signWith(KEY, _digest(signed, nonce));
    }

    function _digest(IAttributionSettlement.SignedClaim memory signed, uint256 nonce)
        private
        view
        returns (bytes32)
    {
        bytes32 claim = keccak256(
            abi.encode(
                CLAIM,
                signed.account,
                signed.to,
                signed.cumulative,
                signed.epoch,
                signed.maxFee,
                nonce,
                signed.deadline
            )
        );
        return _typedDigest(address(settlement), claim);
    }
}
