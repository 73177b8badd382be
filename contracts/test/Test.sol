// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AttributionSettlement} from "../src/AttributionSettlement.sol";
import {DatanetRegistry} from "../src/DatanetRegistry.sol";
import {EpochChallenges} from "../src/EpochChallenges.sol";
import {InferenceVault} from "../src/InferenceVault.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {Parameters} from "../src/Parameters.sol";
import {ReceiptChallenges} from "../src/ReceiptChallenges.sol";
import {ValidatorStaking} from "../src/ValidatorStaking.sol";
import {VotingOpen} from "../src/VotingOpen.sol";
import {IAttributionSettlement} from "../src/interfaces/IAttributionSettlement.sol";
import {Draw} from "../src/interfaces/IInferenceVault.sol";
import {IParameters} from "../src/interfaces/IParameters.sol";
import {Leaf} from "../src/libraries/Leaf.sol";
import {Vm} from "./Vm.sol";

/// @notice A deployed and wired system with small round numbers, and the shortest ways to use it.
abstract contract Test {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant WINDOW = 100;
    uint256 internal constant BOND = 10 ether;
    uint256 internal constant DATANET_FEE = 0.01 ether;
    uint256 internal constant MODEL_FEE = 0.02 ether;
    uint256 internal constant CONTRIBUTION_BOND = 0.001 ether;
    uint256 internal constant WITHDRAW_DELAY = 1_000;
    bytes32 internal constant LICENCE = keccak256("CC-BY-4.0");
    uint256 internal constant DEMAND_BOND = 0.1 ether;
    uint256 internal constant ANSWER_TIME = 20;
    uint256 internal constant UNBOND_DELAY = 1_000;
    uint256 internal constant MINIMUM_STAKE = 1 ether;

    address internal immutable governance = _actor("governance");
    address internal immutable operator = _actor("operator");
    address internal immutable submitter = _actor("submitter");
    address internal immutable alice = _actor("alice");
    address internal immutable bob = _actor("bob");
    address internal immutable stranger = _actor("stranger");
    address internal immutable treasury = _actor("treasury");

    bytes32[] private _keys;
    uint256[] private _values;
    IParameters.Rule[] private _rules;

    /// @dev Seconds; governed numbers change at multiples of it.
    uint256 internal boundary = 1;
    Parameters internal parameters;
    DatanetRegistry internal datanets;
    ModelRegistry internal models;
    InferenceVault internal vault;
    AttributionSettlement internal settlement;
    VotingOpen internal votes;
    ValidatorStaking internal staking;
    ReceiptChallenges internal receiptChallenges;
    EpochChallenges internal epochChallenges;
    /// @dev Leaves under the payouts roots of `_submission`.
    uint32 internal payouts = 2;

    function setUp() public virtual {
        vm.warp(1_000_000);
        parameters = _parameters();
        datanets = new DatanetRegistry(parameters);
        models = new ModelRegistry(parameters, datanets);
        vault = new InferenceVault(parameters);
        votes = new VotingOpen(parameters);
        // Each of the next four knows the others' addresses beforehand.
        uint256 nonce = vm.getNonce(address(this));
        settlement = new AttributionSettlement(
            parameters,
            vault,
            IAttributionSettlement.Links({
                staking: vm.computeCreateAddress(address(this), nonce + 1),
                receiptChallenges: vm.computeCreateAddress(address(this), nonce + 2),
                epochChallenges: vm.computeCreateAddress(address(this), nonce + 3),
                treasury: treasury
            })
        );
        staking = new ValidatorStaking(parameters, settlement, votes);
        receiptChallenges = new ReceiptChallenges(settlement, parameters, models, datanets);
        epochChallenges = new EpochChallenges(settlement, parameters);
        vm.prank(governance);
        votes.setStaking(address(staking));
        vm.prank(governance);
        vault.setSettlement(address(settlement));
        vm.prank(governance);
        datanets.setOperator(operator);
        vm.prank(governance);
        models.setOperator(operator);
        vm.prank(governance);
        settlement.setSubmitter(submitter, true);
        vm.prank(submitter);
        settlement.bond{value: BOND}(submitter);
    }

    function _actor(string memory name) internal returns (address account) {
        account = address(uint160(uint256(keccak256(bytes(name)))));
        vm.label(account, name);
        vm.deal(account, 1e6 ether);
    }

    function _parameters() internal returns (Parameters) {
        _parameter("settlement.window", WINDOW, 1, 1_209_600);
        _parameter("settlement.bond", BOND, 0, 1e24);
        _parameter("settlement.bondRatio", 0, 0, 10_000_000);
        _parameter("settlement.rowCost", 0, 0, 1e18);
        _parameter("attribution.significance", 4_000, 0, 10_000);
        _parameter("attribution.minShare", 10_000, 0, 500_000);
        _parameter("attribution.coverage", 950_000, 100_000, 1_000_000);
        _parameter("attribution.topK", 16, 1, 50);
        _parameter("attribution.textCap", 500_000, 0, 1_000_000);
        _parameter("attribution.reliability", 800_000, 0, 1_000_000);
        _parameter("challenge.bond", DEMAND_BOND, 0, 1e24);
        _parameter("challenge.answerTime", ANSWER_TIME, 1, 604_800);
        _parameter("staking.unbondDelay", UNBOND_DELAY, 1, 5_184_000);
        _parameter("staking.minimum", MINIMUM_STAKE, 0, 1e24);
        _parameter("fee.datanet", DATANET_FEE, 0, 1e24);
        _parameter("fee.model", MODEL_FEE, 0, 1e24);
        _parameter("bond.contribution", CONTRIBUTION_BOND, 0, 1e24);
        _parameter("vault.withdrawDelay", WITHDRAW_DELAY, 1, 1_209_600);
        _parameter("split.platform", 100_000, 0, 300_000);
        _parameter("split.model", 200_000, 0, 500_000);
        _parameter("split.stakers", 200_000, 0, 500_000);
        _parameter("split.retrieval", 100_000, 0, 300_000);
        _parameter("curation.phase", 50, 1, 604_800);
        _parameter("curation.panel", 3, 1, 15);
        _parameter("curation.rounds", 3, 1, 4);
        _parameter("curation.reviewerBond", 1 ether, 0, 1e24);
        _parameter("curation.seatFee", 0.01 ether, 0, 1e24);
        _parameter("curation.majority", 650_000, 500_001, 1_000_000);
        _parameter("curation.missPenalty", 1_000, 0, 500_000);
        _parameter("curation.hidePenalty", 5_000, 0, 500_000);
        _parameter("curation.minorityPenalty", 1_000, 0, 500_000);
        _parameter("curation.minAccuracy", 700_000, 0, 1_000_000);
        _parameter("curation.accuracySample", 2, 1, 1_000);
        _parameter("curation.penaltyWeight", 150_000, 0, 1_000_000);
        _parameter("curation.challengerPart", 500_000, 0, 600_000);
        _parameter("curation.panelPart", 250_000, 0, 400_000);
        _parameter("slash.proven", 500_000, 0, 1_000_000);
        _parameter("slash.quality", 200_000, 0, 1_000_000);
        _parameter("slash.plagiarism", 500_000, 0, 1_000_000);
        _parameter("slash.adversarial", 1_000_000, 0, 1_000_000);
        return new Parameters(governance, boundary, _keys, _values, _rules);
    }

    function _parameter(bytes32 key, uint256 value, uint256 min, uint256 max) private {
        _keys.push(key);
        _values.push(value);
        // Changes come into force at the next boundary, however large: at once, unless a test says.
        _rules.push(IParameters.Rule(uint96(min), uint96(max), type(uint96).max, 0, 0));
    }

    function _deposit(address payer, uint256 amount) internal {
        vm.prank(payer);
        vault.deposit{value: amount}(payer);
    }

    function _setParameter(bytes32 key, uint256 value) internal {
        vm.prank(governance);
        parameters.set(key, value);
    }

    /// @dev Submits the next epoch: one payer, and a payouts root.
    function _submit(address payer, uint256 amount, bytes32 payoutsRoot) internal returns (uint64) {
        IAttributionSettlement.Submission memory submission = _submission(amount, payoutsRoot);
        vm.prank(submitter);
        settlement.submitEpoch(submission, _draws(payer, amount));
        return submission.epoch;
    }

    function _submission(uint256 total, bytes32 payoutsRoot)
        internal
        view
        returns (IAttributionSettlement.Submission memory)
    {
        uint64 epoch = settlement.lastEpoch() + 1;
        return IAttributionSettlement.Submission({
            epoch: epoch,
            receiptsRoot: keccak256(abi.encode("receipts", epoch)),
            creditsRoot: keccak256(abi.encode("credits", epoch)),
            payoutsRoot: payoutsRoot,
            receipts: 1,
            credits: 1,
            payouts: payouts,
            total: total,
            dataHash: keccak256(abi.encode("data", epoch)),
            commitment: hex"010003c0ffee",
            paramsHash: parameters.paramsHash()
        });
    }

    /// @dev A pending epoch's number; zero when there is none.
    function _pending(uint256 which) internal view returns (uint64) {
        uint64 active = settlement.latestActive();
        uint64 last = settlement.lastEpoch();
        return active == last ? 0 : uint64(_bound(which, active + 1, last));
    }

    function _draws(address payer, uint256 amount) internal pure returns (Draw[] memory draws) {
        draws = new Draw[](amount == 0 ? 0 : 1);
        if (amount != 0) draws[0] = Draw(payer, amount);
    }

    /// @dev Root over two payouts, and each one's proof: the other leaf.
    function _pair(address a, uint256 toA, address b, uint256 toB)
        internal
        pure
        returns (bytes32 root, bytes32[] memory proofA, bytes32[] memory proofB)
    {
        bytes32[] memory leaves = new bytes32[](2);
        leaves[0] = Leaf.payout(a, toA);
        leaves[1] = Leaf.payout(b, toB);
        return (_root(leaves), _proof(leaves, 0), _proof(leaves, 1));
    }

    /// @dev Root and proofs of the ordered tree of protocol/merkle.ts.
    function _root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return _nodes(leaves, false)[0];
    }

    function _proof(bytes32[] memory leaves, uint256 leaf)
        internal
        pure
        returns (bytes32[] memory)
    {
        return _siblings(_nodes(leaves, false), leaf);
    }

    /// @dev Root and proofs of a set in the tree of protocol/merkle.ts, over leaves in any order.
    function _setRoot(bytes32[] memory leaves) internal pure returns (bytes32) {
        return _nodes(leaves, true)[0];
    }

    function _setProof(bytes32[] memory leaves, uint256 leaf)
        internal
        pure
        returns (bytes32[] memory)
    {
        return _siblings(_nodes(leaves, true), leaf);
    }

    function _siblings(bytes32[] memory nodes, uint256 leaf)
        private
        pure
        returns (bytes32[] memory proof)
    {
        uint256 depth = 0;
        for (uint256 i = nodes.length - 1 - leaf; i > 0; i = (i - 1) / 2) {
            ++depth;
        }
        proof = new bytes32[](depth);
        depth = 0;
        for (uint256 i = nodes.length - 1 - leaf; i > 0; i = (i - 1) / 2) {
            proof[depth++] = nodes[i % 2 == 0 ? i - 1 : i + 1];
        }
    }

    function _nodes(bytes32[] memory leaves, bool isSet)
        private
        pure
        returns (bytes32[] memory nodes)
    {
        nodes = new bytes32[](2 * leaves.length - 1);
        for (uint256 i = 0; i < leaves.length; ++i) {
            nodes[nodes.length - 1 - i] = leaves[i];
        }
        for (uint256 i = leaves.length - 1; i > 0; --i) {
            (bytes32 a, bytes32 b) = (nodes[2 * i - 1], nodes[2 * i]);
            if (isSet && b < a) (a, b) = (b, a);
            nodes[i - 1] = keccak256(abi.encode(a, b));
        }
    }

    /// @dev What is signed, by EIP-712, for one of our contracts.
    function _typedDigest(address verifying, bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("OpenLedger"),
                keccak256("1"),
                block.chainid,
                verifying
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function _signWith(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev What `IDatanetRegistry.withdraw` takes.
    function _signWithdrawal(uint256 key, bytes32[] memory records)
        internal
        view
        returns (bytes memory)
    {
        bytes32 withdrawal = keccak256(
            abi.encode(
                keccak256("Withdrawal(bytes32[] records)"), keccak256(abi.encodePacked(records))
            )
        );
        return _signWith(key, _typedDigest(address(datanets), withdrawal));
    }

    function _bound(uint256 value, uint256 min, uint256 max) internal pure returns (uint256) {
        return min + value % (max - min + 1);
    }
}
