// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./Governed.sol";
import {IParameters} from "./interfaces/IParameters.sol";
import {IReviewers} from "./interfaces/IReviewers.sol";
import {Keys} from "./libraries/Keys.sol";
import {Penalty} from "./libraries/Penalty.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @notice Implements IReviewers, and draws panels.
abstract contract Reviewers is IReviewers, Governed {
    using SafeCastLib for uint256;

    /// @notice Listed reviewers at most: a draw reads every one of them.
    uint256 public constant MAX_REVIEWERS = 256;

    /// @dev One slot, so that a draw reads one for each.
    struct Listed {
        address reviewer;
        uint40 since;
    }

    Listed[] private _list;
    mapping(address account => uint256 indexPlusOne) private _places;
    mapping(address account => Reviewer) private _reviewers;

    constructor(IParameters parameters) Governed(parameters) {}

    /// @inheritdoc IReviewers
    function enlist() external payable {
        Reviewer storage reviewer = _reviewers[msg.sender];
        uint96 bond = (reviewer.bond + msg.value).toUint96();
        uint256 required = _number(Keys.REVIEWER_BOND);
        if (bond < required) revert BondTooLow(msg.sender, bond, required);
        if (_isInaccurate(reviewer)) {
            revert NotAccurate(msg.sender, reviewer.right, reviewer.known);
        }
        reviewer.bond = bond;
        if (_places[msg.sender] == 0) {
            if (_list.length == MAX_REVIEWERS) revert TooManyReviewers(MAX_REVIEWERS);
            reviewer.since = uint40(block.timestamp);
            _list.push(Listed({reviewer: msg.sender, since: reviewer.since}));
            _places[msg.sender] = _list.length;
        }
        emit Enlisted(msg.sender, bond);
    }

    /// @inheritdoc IReviewers
    function resign() external {
        if (_places[msg.sender] == 0) revert NotListed(msg.sender);
        _delist(msg.sender);
    }

    /// @inheritdoc IReviewers
    function returnBond() external {
        Reviewer storage reviewer = _reviewers[msg.sender];
        if (_places[msg.sender] != 0) revert StillListed(msg.sender);
        if (reviewer.seats != 0) revert StillSeated(msg.sender, reviewer.seats);
        uint256 amount = reviewer.bond;
        reviewer.bond = 0;
        emit BondReturned(msg.sender, amount);
        SafeTransferLib.safeTransferETH(msg.sender, amount);
    }

    /// @inheritdoc IReviewers
    function reviewerOf(address account) external view returns (Reviewer memory) {
        return _reviewers[account];
    }

    /// @inheritdoc IReviewers
    function reviewers() external view returns (uint256) {
        return _list.length;
    }

    /// @dev Draws up to `size` different reviewers, an odd number, each of those listed before
    /// `before` and not `excluded` as likely as any other. Fewer than `least`: none.
    function _draw(
        bytes32 seed,
        uint256 size,
        uint256 least,
        uint256 before,
        address[] memory excluded
    ) internal returns (address[] memory seats) {
        address[] memory pool = new address[](_list.length);
        uint256 count = 0;
        for (uint256 i = 0; i < pool.length; ++i) {
            Listed memory listed = _list[i];
            if (listed.since >= before || _isIn(listed.reviewer, excluded)) continue;
            pool[count++] = listed.reviewer;
        }
        if (count < least) return seats;
        if (size > count) size = count % 2 == 0 ? count - 1 : count;
        seats = new address[](size);
        for (uint256 i = 0; i < size; ++i) {
            // Fisher-Yates: the i-th seat is any of the reviewers who have none yet.
            uint256 j = i + uint256(keccak256(abi.encode(seed, i))) % (count - i);
            (seats[i], pool[j]) = (pool[j], pool[i]);
            ++_reviewers[seats[i]].seats;
        }
    }

    /// @dev Frees a seat.
    function _rise(address account) internal {
        --_reviewers[account].seats;
    }

    /// @dev Takes parts per million of a bond; who has less than half of what is required left is
    /// no longer drawn.
    function _penalise(address account, bytes32 key) internal returns (uint256 amount) {
        Reviewer storage reviewer = _reviewers[account];
        amount = reviewer.bond * _number(key) / Penalty.PPM;
        uint96 bond = (reviewer.bond - amount).toUint96();
        reviewer.bond = bond;
        emit Penalised(account, amount, bond);
        if (2 * bond < _number(Keys.REVIEWER_BOND)) _delist(account);
    }

    /// @dev Counts a vote on a known case.
    function _score(address account, bool right) internal {
        Reviewer storage reviewer = _reviewers[account];
        ++reviewer.known;
        if (right) ++reviewer.right;
        if (_isInaccurate(reviewer)) _delist(account);
    }

    function _delist(address account) private {
        uint256 place = _places[account];
        if (place == 0) return;
        Listed memory last = _list[_list.length - 1];
        _list[place - 1] = last;
        _places[last.reviewer] = place;
        _list.pop();
        delete _places[account];
        _reviewers[account].since = 0;
        emit Resigned(account);
    }

    function _isInaccurate(Reviewer storage reviewer) private view returns (bool) {
        uint256 known = reviewer.known;
        return known >= _number(Keys.ACCURACY_SAMPLE)
            && reviewer.right * Penalty.PPM < known * _number(Keys.MIN_ACCURACY);
    }

    function _isIn(address account, address[] memory accounts) private pure returns (bool) {
        for (uint256 i = 0; i < accounts.length; ++i) {
            if (accounts[i] == account) return true;
        }
        return false;
    }
}
