// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Test} from "./Test.sol";
import {BenchToken, UniswapDistributor} from "./UniswapDistributor.sol";

/// @notice Gas of whole transactions, intrinsic gas and calldata included, kept in
/// contracts/snapshots. A plain `forge test` fails when a figure has moved;
/// FORGE_SNAPSHOT_CHECK=false writes the new ones.
/// forge-config: default.isolate = true
contract GasTest is Test {
    /// @dev A tree of about 131,000 accounts.
    uint256 private constant DEPTH = 17;
    /// @dev The last leaf of a full tree is the left one of its pair at every level.
    uint256 private constant LAST = 2 ** DEPTH - 1;

    bytes32[] private proof;

    function setUp() public override {
        super.setUp();
        payouts = uint32(2 ** DEPTH);
    }

    function test_submitEpochWithOneDraw() public {
        _epochOf(1);
        vm.snapshotGasLastCall("gas", "submitEpoch, 1 draw, first of a submitter");
        _epochOf(1);
        vm.snapshotGasLastCall("gas", "submitEpoch, 1 draw");
    }

    function test_submitEpochWithHundredDraws() public {
        _epochOf(1);
        _epochOf(100);
        vm.snapshotGasLastCall("gas", "submitEpoch, 100 draws");
    }

    function test_refundOfHundredDraws() public {
        Draw[] memory draws = _epochOf(100);
        vm.prank(governance);
        settlement.disable(1);
        settlement.refund(1, draws);
        vm.snapshotGasLastCall("gas", "refund, 100 draws");
    }

    function test_claim() public {
        _deposit(operator, 10 ether);
        _submit(operator, 1 ether, _deepRoot(alice, 1 ether));
        vm.warp(block.timestamp + WINDOW);
        settlement.claim(alice, 1 ether, 1, LAST, proof);
        vm.snapshotGasLastCall("gas", "claim, depth 17, first of all");
        _submit(operator, 1 ether, _deepRoot(alice, 2 ether));
        vm.warp(block.timestamp + WINDOW);
        settlement.claim(alice, 2 ether, 2, LAST, proof);
        vm.snapshotGasLastCall("gas", "claim, depth 17, repeated");
        _submit(operator, 1 ether, _deepRoot(bob, 1 ether));
        vm.warp(block.timestamp + WINDOW);
        settlement.claim(bob, 1 ether, 3, LAST, proof);
        vm.snapshotGasLastCall("gas", "claim, depth 17, first of an account");
    }

    /// @dev The same depth, the same accounts: one that has never been paid, then another.
    function test_claimCostsAtMostTheMerkleDistributors() public {
        bytes32[] memory siblings = new bytes32[](DEPTH);
        bytes32 first = keccak256(abi.encodePacked(uint256(0), alice, uint256(1 ether)));
        bytes32 node = first;
        for (uint256 i = 0; i < DEPTH; ++i) {
            siblings[i] = keccak256(abi.encode(i));
            node = node < siblings[i]
                ? keccak256(abi.encode(node, siblings[i]))
                : keccak256(abi.encode(siblings[i], node));
        }
        BenchToken token = new BenchToken(
            vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1), 9 ether
        );
        UniswapDistributor theirs = new UniswapDistributor(token, node);
        theirs.claim(0, alice, 1 ether, siblings);
        uint256 their = vm.snapshotGasLastCall("gas", "Uniswap MerkleDistributor claim, depth 17");

        _deposit(operator, 10 ether);
        _submit(operator, 1 ether, _deepRoot(alice, 1 ether));
        vm.warp(block.timestamp + WINDOW);
        settlement.claim(alice, 1 ether, 1, LAST, proof);
        uint256 our = vm.snapshotGasLastCall("gas", "claim, depth 17, first of all");
        vm.assertLe(our, their, "claim");
    }

    function test_vault() public {
        _deposit(alice, 1 ether);
        _deposit(alice, 1 ether);
        vm.snapshotGasLastCall("gas", "deposit, repeated");
        vm.prank(alice);
        vault.requestWithdrawal(1 ether);
        vm.snapshotGasLastCall("gas", "requestWithdrawal");
        vm.warp(block.timestamp + WITHDRAW_DELAY);
        vm.prank(alice);
        vault.withdraw(alice);
        vm.snapshotGasLastCall("gas", "withdraw");
    }

    function test_registries() public {
        vm.prank(operator);
        datanets.createDatanet{value: DATANET_FEE}(
            "datanet", alice, "metadata", LICENCE, IDatanetRegistry.Access.Open
        );
        vm.snapshotGasLastCall("gas", "createDatanet");
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(operator);
            datanets.anchorBatch{value: CONTRIBUTION_BOND}(
                "datanet", bytes32(i), "root", 1_000, bob, keccak256("pipeline")
            );
            vm.snapshotGasLastCall("gas", "anchorBatch");
        }
        vm.warp(block.timestamp + WINDOW);
        datanets.releaseBond(0);
        vm.snapshotGasLastCall("gas", "releaseBond");
        vm.prank(operator);
        datanets.publishVersion("datanet", 1, keccak256("version"), keccak256("manifest"), 1_000);
        vm.snapshotGasLastCall("gas", "publishVersion");
        vm.prank(operator);
        models.registerBase{value: MODEL_FEE}("base", alice, 1, keccak256("manifest"));
        vm.snapshotGasLastCall("gas", "registerBase");
        bytes32[] memory roots = new bytes32[](1);
        roots[0] = keccak256("version");
        vm.prank(operator);
        models.registerAdapter{value: MODEL_FEE}(
            IModelRegistry.AdapterRegistration({
                digest: keccak256("adapter"),
                base: "base",
                indexRoot: keccak256("index"),
                manifestHash: keccak256("manifest"),
                owner: alice,
                pricePerToken: 1e12,
                datanetRoots: roots
            })
        );
        vm.snapshotGasLastCall("gas", "registerAdapter, 1 Datanet root");
    }

    /// @dev Submits an epoch that draws from `count` payers, each with wei left.
    function _epochOf(uint256 count) private returns (Draw[] memory draws) {
        draws = new Draw[](count);
        for (uint256 i = 0; i < count; ++i) {
            address payer = address(uint160(uint256(keccak256(abi.encode("payer", i)))));
            vault.deposit{value: 1 ether}(payer);
            draws[i] = Draw(payer, 0.001234567 ether);
        }
        IAttributionSettlement.Submission memory submission =
            _submission(count * 0.001234567 ether, keccak256("payouts"));
        vm.prank(submitter);
        settlement.submitEpoch(submission, draws);
    }

    /// @dev Root of a tree of `DEPTH` in which the payout is a leaf; leaves its proof in
    /// `proof`.
    function _deepRoot(address account, uint256 cumulative) private returns (bytes32 node) {
        node = Leaf.payout(account, cumulative);
        proof = new bytes32[](DEPTH);
        for (uint256 i = 0; i < DEPTH; ++i) {
            proof[i] = keccak256(abi.encode(cumulative, i));
            node = keccak256(abi.encode(node, proof[i]));
        }
    }
}
