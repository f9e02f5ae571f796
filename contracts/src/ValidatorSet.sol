// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "./Addresses.sol";
import {ValidatorKeys} from "./ValidatorKeys.sol";
import {ValidatorMembers} from "./ValidatorMembers.sol";

/// @title Who validates this chain, and how its validators change themselves.
/// @notice The node follows the events of this contract.
///
/// Epochs. The *active* set is that of the current epoch; changes build the *next* one. The first change of an epoch,
/// in block b, ends it: its last block is b rounded up to a multiple of 64, and 64 more, which is the time that nodes
/// have to meet the new validators. Changes go on until 64 blocks before the last one; then they wait for the next
/// epoch. From the block after the last one on the next set is active.
///
/// Authority. Anybody submits a change; it passes with the approvals of n − ⌊(n−1)/3⌋ of the n active validators,
/// Ed25519 signatures by their consensus keys over what `addChallenge` and its like return. A challenge holds the
/// number of changes so far, so every change uses up the approvals of all others.
///
/// Keys. A new validator proves possession of both of its keys, as in genesis. A key that was removed never returns,
/// nor does its checkpoint address: it may have signed votes that its owner no longer knows of. Whoever comes back
/// votes again only with a new key.
///
/// Faults. Two votes of one validator that contradict each other are recorded. A record removes nobody: removal needs
/// a quorum, which may take the record for its reason.
/// @dev A system contract: its code is in genesis, so there is no constructor and no immutable.
contract ValidatorSet {
    using ValidatorMembers for ValidatorMembers.Members;

    struct Approval {
        /// Of an active validator.
        bytes32 consensusKey;
        /// 64 bytes, over the challenge of the change.
        bytes signature;
    }

    struct Rule {
        string name;
        /// The first block that the rule holds for.
        uint64 height;
    }

    /// @notice A vote as evidence. Of a nullify only the signature counts.
    struct Vote {
        uint64 parentView;
        bytes32 digest;
        bytes signature;
    }

    /// @dev One slot.
    struct Head {
        uint64 epoch;
        /// Zero: no end is set.
        uint64 lastBlock;
        uint64 nonce;
        /// Of the active set; zero before `initialize`.
        uint16 size;
    }

    /// @notice Ends of epochs lie on multiples of this many blocks.
    uint64 public constant STEP = 64;
    uint256 public constant MAX_RULE_BYTES = 64;

    /// @notice Kinds of fault: two notarizes of one round with different proposals,
    uint8 public constant TWO_NOTARIZES = 1;
    /// @notice two finalizes of one round with different proposals,
    uint8 public constant TWO_FINALIZES = 2;
    /// @notice a nullify and a finalize of one round.
    uint8 public constant NULLIFY_AND_FINALIZE = 3;

    string private constant DOMAIN = "Triad validator change v1";

    Head private _head;
    /// @notice SHA-256 of the RFC 8785 form of the genesis file; votes are signed for it.
    bytes32 public genesisHash;
    ValidatorMembers.Members private _members;
    Rule[] private _rules;
    /// @notice The height of a rule by the hash of its name; zero if it is not scheduled.
    mapping(bytes32 nameHash => uint64) private _ruleHeights;
    /// @notice How many faults of a validator were recorded.
    mapping(bytes32 consensusKey => uint64) public faults;
    mapping(bytes32 fault => bool) private _recorded;

    event ValidatorAdded(
        uint64 indexed nonce,
        bytes32 indexed consensusKey,
        address checkpointAddress,
        address feeRecipient,
        string name,
        string network
    );
    event ValidatorRemoved(uint64 indexed nonce, bytes32 indexed consensusKey);
    event EpochEnds(uint64 indexed epoch, uint64 lastBlock);
    event RuleScheduled(uint64 indexed nonce, string rule, uint64 height);
    event ValidatorFault(bytes32 indexed consensusKey, uint64 epoch, uint64 view_, uint8 kind);

    error OnlySystem();
    error AlreadyInitialized();
    /// @notice The chain made this contract without validators.
    error NotInitialized();
    /// @notice The epoch ends with this block, too soon for another change: submit it after that block. Approvals stay
    /// good if their signers are still active then.
    error EpochEnding(uint64 lastBlock);
    /// @notice `needed` active validators must approve.
    error TooFewApprovals(uint256 found, uint256 needed);
    /// @notice An approval by a key that is not in the active set.
    error UnknownSigner(bytes32 consensusKey);
    error DuplicateSigner(bytes32 consensusKey);
    /// @notice The signature is not that key's over `challenge`; perhaps another change passed since it was made.
    error WrongApproval(bytes32 consensusKey, bytes32 challenge);
    /// @notice The signature of the proof of possession is not the consensus key's.
    error WrongConsensusProof(bytes32 consensusKey);
    /// @notice The signature of the proof of possession is another key's; `recovered` is zero where it is none at all.
    error WrongCheckpointProof(address checkpointAddress, address recovered);
    /// @notice The name of a rule has 1 to `MAX_RULE_BYTES` bytes, each of a-z, 0-9 or -.
    error BadRule(string rule);
    error RuleAlreadyScheduled(string rule, uint64 height);
    /// @notice The height must be at least `earliest`.
    error RuleTooSoon(uint64 height, uint64 earliest);

    /// @notice The key is not in the active set.
    error NotActive(bytes32 consensusKey);
    /// @notice Votes of an epoch that has not begun.
    error FutureEpoch(uint64 found, uint64 current);
    error UnknownFault(uint8 kind);
    /// @notice The two votes are for one proposal.
    error NoConflict();
    error FaultAlreadyRecorded(bytes32 consensusKey, uint64 epoch, uint64 view_, uint8 kind);
    /// @notice The signature of the first (0) or second (1) vote is not the validator's.
    error WrongVote(bytes32 consensusKey, uint8 vote);

    /// @notice Called once by the chain when it makes genesis, which has checked the proofs of possession.
    function initialize(ValidatorMembers.Validator[] calldata validators_, bytes32 genesisHash_) external {
        if (msg.sender != Addresses.SYSTEM_CALLER) revert OnlySystem();
        if (_head.size != 0) revert AlreadyInitialized();
        uint256 n = validators_.length;
        if (n == 0) revert ValidatorMembers.BadSize(0);
        for (uint256 i; i < n; ++i) {
            _members.join(validators_[i], 0);
        }
        _head.size = uint16(n);
        genesisHash = genesisHash_;
    }

    // ------------------------------------------------------------------ changes, by a quorum

    /// @notice Adds a validator to the next set.
    /// @param consensusProof 64 bytes, see `ValidatorKeys`.
    /// @param checkpointProof 65 bytes, see `ValidatorKeys`.
    function add(
        ValidatorMembers.Validator calldata v,
        bytes calldata consensusProof,
        bytes calldata checkpointProof,
        Approval[] calldata approvals
    ) external {
        Head memory h = _begin();
        _requireApproved(h, addChallenge(v), approvals);
        _requireProven(v, consensusProof, checkpointProof);
        _add(h, v);
        _finish(h);
    }

    /// @notice Takes a validator out of the next set, for ever. At least two stay: a validator alone has no network, so
    /// nobody could come after it.
    function remove(bytes32 consensusKey, Approval[] calldata approvals) external {
        Head memory h = _begin();
        _requireApproved(h, removeChallenge(consensusKey), approvals);
        if (_members.keys.length <= 2) revert ValidatorMembers.BadSize(_members.keys.length - 1);
        _remove(h, consensusKey);
        _finish(h);
    }

    /// @notice Puts a validator into the next set in the place of another, in one change. A validator that changes its
    /// keys, its name or where it is reached replaces itself, with new keys; not one that is alone, see `remove`.
    function replace(
        bytes32 consensusKey,
        ValidatorMembers.Validator calldata v,
        bytes calldata consensusProof,
        bytes calldata checkpointProof,
        Approval[] calldata approvals
    ) external {
        Head memory h = _begin();
        _requireApproved(h, replaceChallenge(consensusKey, v), approvals);
        if (h.size == 1) revert ValidatorMembers.BadSize(1);
        _requireProven(v, consensusProof, checkpointProof);
        _remove(h, consensusKey);
        _add(h, v);
        _finish(h);
    }

    /// @notice Sets the block from which on a rule holds, for ever. It changes no set, so it ends no epoch and is taken
    /// in the last blocks of one too.
    function scheduleRule(string calldata rule, uint64 height, Approval[] calldata approvals) external {
        Head memory h = _roll();
        _requireApproved(h, ruleChallenge(rule, height), approvals);
        _requireRuleName(rule);
        uint64 earliest = uint64(block.number) + STEP + 1;
        if (height < earliest) revert RuleTooSoon(height, earliest);
        bytes32 nameHash = keccak256(bytes(rule));
        uint64 scheduled = _ruleHeights[nameHash];
        if (scheduled != 0) revert RuleAlreadyScheduled(rule, scheduled);
        _ruleHeights[nameHash] = height;
        _rules.push(Rule(rule, height));
        emit RuleScheduled(h.nonce, rule, height);
        h.nonce += 1;
        _head = h;
    }

    // ------------------------------------------------------------------ faults, by anybody

    /// @notice Records that an active validator signed two votes that contradict each other, in this epoch or an
    /// earlier one. It removes nobody.
    /// @param kind `TWO_NOTARIZES`, `TWO_FINALIZES`, or `NULLIFY_AND_FINALIZE`, where `first` is the nullify.
    /// @param epoch_ of both votes.
    /// @param view_ of both votes.
    function submitFault(
        bytes32 consensusKey,
        uint8 kind,
        uint64 epoch_,
        uint64 view_,
        Vote calldata first,
        Vote calldata second
    ) external {
        Head memory h = _roll();
        _head = h;
        if (!_members.isIn(consensusKey, h.epoch)) revert NotActive(consensusKey);
        if (epoch_ > h.epoch) revert FutureEpoch(epoch_, h.epoch);
        if (kind < TWO_NOTARIZES || kind > NULLIFY_AND_FINALIZE) revert UnknownFault(kind);
        bool differ = first.digest != second.digest || first.parentView != second.parentView;
        if (kind != NULLIFY_AND_FINALIZE && !differ) revert NoConflict();
        bytes32 fault = keccak256(abi.encode(consensusKey, epoch_, view_, kind));
        if (_recorded[fault]) revert FaultAlreadyRecorded(consensusKey, epoch_, view_, kind);
        if (!ValidatorKeys.verify(consensusKey, first.signature, _message(kind, epoch_, view_, first, true)))
        {
            revert WrongVote(consensusKey, 0);
        }
        if (!ValidatorKeys.verify(
                consensusKey, second.signature, _message(kind, epoch_, view_, second, false)
            )) revert WrongVote(consensusKey, 1);
        _recorded[fault] = true;
        faults[consensusKey] += 1;
        emit ValidatorFault(consensusKey, epoch_, view_, kind);
    }

    // ------------------------------------------------------------------ what approvals sign

    /// @notice keccak256(abi.encode(domain, chain id, this contract, nonce, "add", v)).
    function addChallenge(ValidatorMembers.Validator calldata v) public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN, block.chainid, address(this), _head.nonce, "add", v));
    }

    /// @notice keccak256(abi.encode(domain, chain id, this contract, nonce, "remove", key)).
    function removeChallenge(bytes32 consensusKey) public view returns (bytes32) {
        return
            keccak256(abi.encode(DOMAIN, block.chainid, address(this), _head.nonce, "remove", consensusKey));
    }

    /// @notice keccak256(abi.encode(domain, chain id, this contract, nonce, "replace", key, v)).
    function replaceChallenge(bytes32 consensusKey, ValidatorMembers.Validator calldata v)
        public
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(DOMAIN, block.chainid, address(this), _head.nonce, "replace", consensusKey, v)
        );
    }

    /// @notice keccak256(abi.encode(domain, chain id, this contract, nonce, "rule", rule, height)).
    function ruleChallenge(string calldata rule, uint64 height) public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN, block.chainid, address(this), _head.nonce, "rule", rule, height));
    }

    // ------------------------------------------------------------------ views

    /// @notice The active set, in rising order of the consensus keys, which is the validators' index order.
    function validators() external view returns (ValidatorMembers.Validator[] memory) {
        return _members.setOf(_rolled().epoch);
    }

    /// @notice The set of the next epoch as it stands, in the same order.
    function nextValidators() external view returns (ValidatorMembers.Validator[] memory) {
        return _members.setOf(_rolled().epoch + 1);
    }

    function epoch() external view returns (uint64) {
        return _rolled().epoch;
    }

    /// @notice The last block of the current epoch; zero if no end is set.
    function lastBlock() external view returns (uint64) {
        return _rolled().lastBlock;
    }

    /// @notice How many changes passed.
    function nonce() external view returns (uint64) {
        return _head.nonce;
    }

    /// @notice How many active validators must approve a change.
    function quorum() external view returns (uint256) {
        return _quorumOf(_rolled().size);
    }

    /// @notice The rules in the order in which they were scheduled.
    function rules() external view returns (Rule[] memory) {
        return _rules;
    }

    // ------------------------------------------------------------------ inside

    /// @dev The head as it is in this block.
    function _rolled() private view returns (Head memory h) {
        h = _head;
        if (h.size == 0) revert NotInitialized();
        if (h.lastBlock != 0 && block.number > h.lastBlock) {
            h.epoch += 1;
            h.lastBlock = 0;
            h.size = uint16(_members.keys.length);
        }
    }

    /// @dev As `_rolled`, and forgets who left with the epoch before. The caller stores the head.
    function _roll() private returns (Head memory h) {
        h = _rolled();
        if (h.epoch != _head.epoch) delete _members.leaving;
    }

    function _begin() private returns (Head memory h) {
        h = _roll();
        if (h.lastBlock != 0 && block.number > h.lastBlock - STEP) revert EpochEnding(h.lastBlock);
    }

    function _finish(Head memory h) private {
        if (h.lastBlock == 0) {
            h.lastBlock = (uint64(block.number) + STEP - 1) / STEP * STEP + STEP;
            emit EpochEnds(h.epoch, h.lastBlock);
        }
        h.nonce += 1;
        _head = h;
    }

    function _add(Head memory h, ValidatorMembers.Validator calldata v) private {
        _members.join(v, h.epoch + 1);
        emit ValidatorAdded(h.nonce, v.consensusKey, v.checkpointAddress, v.feeRecipient, v.name, v.network);
    }

    function _remove(Head memory h, bytes32 consensusKey) private {
        _members.retire(consensusKey, h.epoch);
        emit ValidatorRemoved(h.nonce, consensusKey);
    }

    function _requireApproved(Head memory h, bytes32 challenge, Approval[] calldata approvals) private view {
        uint256 needed = _quorumOf(h.size);
        if (approvals.length < needed) revert TooFewApprovals(approvals.length, needed);
        bytes memory message = bytes.concat(challenge);
        bytes32[] memory signers = new bytes32[](approvals.length);
        for (uint256 i; i < signers.length; ++i) {
            bytes32 key = approvals[i].consensusKey;
            if (!_members.isIn(key, h.epoch)) revert UnknownSigner(key);
            for (uint256 k; k < i; ++k) {
                if (signers[k] == key) revert DuplicateSigner(key);
            }
            signers[i] = key;
            if (!ValidatorKeys.verify(key, approvals[i].signature, message)) {
                revert WrongApproval(key, challenge);
            }
        }
    }

    function _requireProven(
        ValidatorMembers.Validator calldata v,
        bytes calldata consensusProof,
        bytes calldata checkpointProof
    ) private view {
        bytes memory message = ValidatorKeys.possession(v.consensusKey, v.checkpointAddress);
        if (!ValidatorKeys.verify(v.consensusKey, consensusProof, message)) {
            revert WrongConsensusProof(v.consensusKey);
        }
        address recovered = ValidatorKeys.recover(keccak256(message), checkpointProof);
        if (recovered != v.checkpointAddress || recovered == address(0)) {
            revert WrongCheckpointProof(v.checkpointAddress, recovered);
        }
    }

    function _requireRuleName(string calldata rule) private pure {
        bytes calldata name = bytes(rule);
        if (name.length == 0 || name.length > MAX_RULE_BYTES) revert BadRule(rule);
        for (uint256 i; i < name.length; ++i) {
            bytes1 c = name[i];
            if (!((c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c == "-")) revert BadRule(rule);
        }
    }

    /// @dev What the validator signed for one vote of a fault.
    function _message(uint8 kind, uint64 epoch_, uint64 view_, Vote calldata vote, bool isFirst)
        private
        view
        returns (bytes memory)
    {
        bytes32 hash = genesisHash;
        if (kind == TWO_NOTARIZES) {
            return ValidatorKeys.notarizeVote(hash, epoch_, view_, vote.parentView, vote.digest);
        }
        if (kind == NULLIFY_AND_FINALIZE && isFirst) return ValidatorKeys.nullifyVote(hash, epoch_, view_);
        return ValidatorKeys.finalizeVote(hash, epoch_, view_, vote.parentView, vote.digest);
    }

    function _quorumOf(uint256 n) private pure returns (uint256) {
        return n - (n - 1) / 3;
    }
}
