// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDatanetRegistry} from "../src/interfaces/IDatanetRegistry.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {Test} from "./Test.sol";

contract ModelRegistryTest is Test {
    bytes32 private constant BASE = keccak256("base");
    bytes32 private constant ADAPTER = keccak256("adapter");
    bytes32 private constant INDEX = keccak256("index");
    bytes32 private constant MANIFEST = keccak256("manifest");
    bytes32 private constant DATANET = keccak256("dn_1");
    bytes32 private constant ROOT = keccak256("root 1");

    function setUp() public override {
        super.setUp();
        vm.prank(operator);
        datanets.createDatanet{value: DATANET_FEE}(
            DATANET, alice, MANIFEST, LICENCE, IDatanetRegistry.Access.Open
        );
        for (uint32 i = 1; i <= 17; ++i) {
            bytes32 root = i == 1 ? ROOT : keccak256(abi.encode(i));
            vm.prank(operator);
            datanets.publishVersion(DATANET, i, root, MANIFEST, 3);
        }
    }

    function test_baseIsRegistered() public {
        vm.roll(77);
        _registerBase();
        IModelRegistry.Base memory base = models.baseOf(BASE);
        vm.assertEq(base.owner, alice);
        vm.assertEq(base.pricePerToken, 5);
        vm.assertEq(base.manifestHash, MANIFEST);
        vm.assertEq(base.registeredAt, 77);
        vm.assertEq(base.revoked, false);
        vm.assertEq(models.fees(), MODEL_FEE);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, BASE));
        models.adapterOf(BASE);
    }

    function test_adapterIsRegistered() public {
        _registerBase();
        vm.roll(78);
        _registerAdapter(_registration());
        IModelRegistry.Adapter memory adapter = models.adapterOf(ADAPTER);
        vm.assertEq(adapter.base, BASE);
        vm.assertEq(adapter.indexRoot, INDEX);
        vm.assertEq(adapter.manifestHash, MANIFEST);
        vm.assertEq(adapter.owner, bob);
        vm.assertEq(adapter.registeredAt, 78);
        vm.assertEq(adapter.revoked, false);
        vm.assertEq(adapter.pricePerToken, 9);
        vm.assertEq(adapter.datanetRoots.length, 1);
        vm.assertEq(adapter.datanetRoots[0], ROOT);
        vm.assertEq(models.fees(), 2 * MODEL_FEE);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, ADAPTER));
        models.baseOf(ADAPTER);
    }

    function test_registeringABaseRefuses() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.WrongValue.selector, 0, MODEL_FEE));
        vm.prank(alice);
        models.registerBase(BASE, alice, 5, MANIFEST);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, bob, alice));
        vm.prank(bob);
        models.registerBase{value: MODEL_FEE}(BASE, alice, 5, MANIFEST);
        vm.expectRevert(IRegistry.ZeroValue.selector);
        vm.prank(alice);
        models.registerBase{value: MODEL_FEE}(0, alice, 5, MANIFEST);
        vm.expectRevert(IRegistry.ZeroValue.selector);
        vm.prank(operator);
        models.registerBase{value: MODEL_FEE}(BASE, address(0), 5, MANIFEST);
        _registerBase();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelExists.selector, BASE));
        vm.prank(bob);
        models.registerBase{value: MODEL_FEE}(BASE, bob, 5, MANIFEST);
    }

    function test_registeringAnAdapterRefuses() public {
        IModelRegistry.AdapterRegistration memory registration = _registration();
        _refuse(registration, abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, BASE));
        _registerBase();

        registration.indexRoot = 0;
        _refuse(registration, abi.encodeWithSelector(IRegistry.ZeroValue.selector));
        registration = _registration();
        registration.datanetRoots[0] = INDEX;
        _refuse(
            registration, abi.encodeWithSelector(IDatanetRegistry.UnknownVersion.selector, INDEX)
        );
        registration.datanetRoots = new bytes32[](0);
        _refuse(registration, abi.encodeWithSelector(IModelRegistry.RootCount.selector, 0, 16));
        registration.datanetRoots = new bytes32[](17);
        _refuse(registration, abi.encodeWithSelector(IModelRegistry.RootCount.selector, 17, 16));
        registration.datanetRoots = new bytes32[](2);
        (registration.datanetRoots[0], registration.datanetRoots[1]) = (ROOT, ROOT);
        _refuse(registration, abi.encodeWithSelector(IModelRegistry.DuplicateRoot.selector, ROOT));
        registration = _registration();
        registration.owner = alice;
        _refuse(registration, abi.encodeWithSelector(IRegistry.NotAuthorized.selector, bob, alice));
        registration = _registration();
        registration.digest = BASE;
        _refuse(registration, abi.encodeWithSelector(IModelRegistry.ModelExists.selector, BASE));

        vm.prank(alice);
        datanets.revokeVersion(keccak256(abi.encode(2)));
        registration = _registration();
        registration.datanetRoots[0] = keccak256(abi.encode(2));
        _refuse(
            registration,
            abi.encodeWithSelector(
                IDatanetRegistry.VersionIsRevoked.selector, keccak256(abi.encode(2))
            )
        );

        _registerAdapter(_registration());
        _refuse(
            _registration(), abi.encodeWithSelector(IModelRegistry.ModelExists.selector, ADAPTER)
        );
        // An adapter is no base, and a revoked base takes no adapters.
        registration = _registration();
        (registration.digest, registration.base) = (INDEX, ADAPTER);
        _refuse(registration, abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, ADAPTER));
        vm.prank(alice);
        models.revoke(BASE);
        registration = _registration();
        registration.digest = INDEX;
        _refuse(registration, abi.encodeWithSelector(IModelRegistry.ModelRevoked.selector, BASE));
    }

    function test_sixteenRootsAreTaken() public {
        _registerBase();
        IModelRegistry.AdapterRegistration memory registration = _registration();
        registration.datanetRoots = new bytes32[](16);
        for (uint32 i = 0; i < 16; ++i) {
            registration.datanetRoots[i] = keccak256(abi.encode(i + 2));
        }
        _registerAdapter(registration);
        vm.assertEq(models.adapterOf(ADAPTER).datanetRoots.length, 16);
    }

    function test_aStakeIsAddedSlashedAndTakenBack() public {
        _registerBase();
        models.stake{value: 3 ether}(BASE);
        vm.prank(alice);
        models.stake{value: 1 ether}(BASE);
        vm.assertEq(models.stakeOf(BASE).amount, 4 ether);
        vm.prank(alice);
        models.requestUnstake(BASE);
        uint256 time = block.timestamp + 2 * WINDOW;
        vm.assertEq(models.stakeOf(BASE).unstakeAt, time);
        _refuse(abi.encodeWithSelector(IModelRegistry.Unstaking.selector, BASE, time));
        models.stake{value: 1}(BASE);
        _refuse(abi.encodeWithSelector(IModelRegistry.Unstaking.selector, BASE, time));
        vm.prank(alice);
        models.requestUnstake(BASE);
        // Slashable to the end.
        vm.warp(time - 1);
        _refuse(abi.encodeWithSelector(IModelRegistry.StakeLocked.selector, BASE, time));
        vm.prank(alice);
        models.unstake(BASE, bob);
        vm.prank(governance);
        models.slashStake(BASE, 1 ether, "reason");
        vm.assertEq(models.fees(), MODEL_FEE + 1 ether);
        vm.warp(time);
        uint256 before = bob.balance;
        vm.prank(alice);
        models.unstake(BASE, bob);
        vm.assertEq(bob.balance, before + 3 ether);
        vm.assertEq(address(models).balance, MODEL_FEE + 1 ether);
        _refuse(abi.encodeWithSelector(IModelRegistry.ZeroStake.selector, BASE));
        vm.prank(alice);
        models.unstake(BASE, bob);
    }

    function test_stakingRefuses() public {
        _refuse(abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, BASE));
        models.stake{value: 1}(BASE);
        _registerBase();
        _refuse(abi.encodeWithSelector(IModelRegistry.ZeroStake.selector, BASE));
        models.stake(BASE);
        models.stake{value: 1 ether}(BASE);
        _refuse(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, bob, alice));
        vm.prank(bob);
        models.requestUnstake(BASE);
        _refuse(abi.encodeWithSelector(IModelRegistry.StakeLocked.selector, BASE, 0));
        vm.prank(alice);
        models.unstake(BASE, alice);
        _refuse(abi.encodeWithSelector(IRegistry.ZeroValue.selector));
        vm.prank(alice);
        models.unstake(BASE, address(0));
        _refuse(
            abi.encodeWithSelector(IModelRegistry.StakeTooLow.selector, BASE, 1 ether, 1 ether + 1)
        );
        vm.prank(governance);
        models.slashStake(BASE, 1 ether + 1, "reason");
        vm.prank(alice);
        models.revoke(BASE);
        _refuse(abi.encodeWithSelector(IModelRegistry.ModelRevoked.selector, BASE));
        models.stake{value: 1}(BASE);
    }

    function test_ownerAndGovernanceRevokeForEver() public {
        _registerBase();
        _registerAdapter(_registration());
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, operator, bob));
        vm.prank(operator);
        models.revoke(ADAPTER);
        vm.prank(bob);
        models.revoke(ADAPTER);
        vm.assertEq(models.adapterOf(ADAPTER).revoked, true);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRevoked.selector, ADAPTER));
        vm.prank(bob);
        models.revoke(ADAPTER);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelRevoked.selector, ADAPTER));
        vm.prank(bob);
        models.setPrice(ADAPTER, 1);
        _refuse(
            _registration(), abi.encodeWithSelector(IModelRegistry.ModelExists.selector, ADAPTER)
        );
        vm.prank(governance);
        models.revoke(BASE);
        vm.assertEq(models.baseOf(BASE).revoked, true);
    }

    function test_ownerSetsThePrice() public {
        _registerBase();
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotAuthorized.selector, operator, alice));
        vm.prank(operator);
        models.setPrice(BASE, 6);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.Unchanged.selector, BASE, 5));
        vm.prank(alice);
        models.setPrice(BASE, 5);
        vm.prank(alice);
        models.setPrice(BASE, 6);
        vm.assertEq(models.baseOf(BASE).pricePerToken, 6);
    }

    function _registration() private view returns (IModelRegistry.AdapterRegistration memory) {
        bytes32[] memory roots = new bytes32[](1);
        roots[0] = ROOT;
        return IModelRegistry.AdapterRegistration({
            digest: ADAPTER,
            base: BASE,
            indexRoot: INDEX,
            manifestHash: MANIFEST,
            owner: bob,
            pricePerToken: 9,
            datanetRoots: roots
        });
    }

    function _registerBase() private {
        vm.prank(alice);
        models.registerBase{value: MODEL_FEE}(BASE, alice, 5, MANIFEST);
    }

    function _registerAdapter(IModelRegistry.AdapterRegistration memory registration) private {
        vm.prank(bob);
        models.registerAdapter{value: MODEL_FEE}(registration);
    }

    function _refuse(bytes memory reason) private {
        vm.expectRevert(reason);
    }

    function _refuse(IModelRegistry.AdapterRegistration memory registration, bytes memory reason)
        private
    {
        vm.expectRevert(reason);
        _registerAdapter(registration);
    }
}
