// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

/// @title Who is and was a validator, from which epoch to which.
/// @notice Of two sets it keeps track: that of the current epoch, and the next one, which changes. When an epoch ends
/// nothing moves, since each member knows its epochs.
library ValidatorMembers {
    struct Validator {
        /// Ed25519 key that votes.
        bytes32 consensusKey;
        /// Of the secp256k1 key that signs checkpoints for other chains.
        address checkpointAddress;
        /// Receives the tips of the blocks that it proposes.
        address feeRecipient;
        /// For people.
        string name;
        /// Where its peers reach it, "host:port"; may be empty.
        string network;
    }

    /// @dev A validator that is or was. It belongs to the sets of the epochs from `from` to before `until`.
    struct Member {
        address checkpointAddress;
        uint48 from;
        /// Zero: unknown. `STAYS`: a member of the next set.
        uint48 until;
        // next slot
        address feeRecipient;
        /// Index in `keys`, while it stays.
        uint16 index;
        // next slots
        string name;
        string network;
    }

    struct Members {
        /// The next set, in no order.
        bytes32[] keys;
        /// Validators of the current set that are not in the next one. Who is still here of an earlier epoch counts
        /// for nothing.
        bytes32[] leaving;
        mapping(bytes32 consensusKey => Member) byKey;
        /// Whose checkpoint address it is or was; zero if nobody's.
        mapping(address checkpointAddress => bytes32 consensusKey) keyOf;
    }

    uint256 internal constant MAX_VALIDATORS = 100;
    uint256 internal constant MAX_NAME_BYTES = 64;
    uint256 internal constant MAX_NETWORK_BYTES = 255;
    uint48 private constant STAYS = type(uint48).max;

    /// @notice The key is in the next set already.
    error AlreadyValidator(bytes32 consensusKey);
    /// @notice The key was removed and never returns: make a new one.
    error KeyRetired(bytes32 consensusKey);
    /// @notice Another validator of the next set has this checkpoint address.
    error CheckpointAddressInUse(address checkpointAddress, bytes32 consensusKey);
    /// @notice A validator that was removed had this checkpoint address: make a new key.
    error CheckpointAddressRetired(address checkpointAddress, bytes32 consensusKey);
    /// @notice The key is not in the next set.
    error NotValidator(bytes32 consensusKey);
    /// @notice The next set would have `found` validators; it has 2 to `MAX_VALIDATORS`. Only genesis can have one.
    error BadSize(uint256 found);
    /// @notice The consensus key or the checkpoint address is zero.
    error ZeroKey();
    /// @notice A name has 1 to `MAX_NAME_BYTES` bytes.
    error BadName(uint256 length);
    /// @notice A network address has at most `MAX_NETWORK_BYTES` bytes.
    error BadNetwork(uint256 length);

    /// @notice Puts a validator into the next set.
    /// @param from the first epoch that it belongs to.
    function join(Members storage self, Validator calldata v, uint64 from) internal {
        _requireSound(v);
        Member storage member = self.byKey[v.consensusKey];
        if (member.until == STAYS) revert AlreadyValidator(v.consensusKey);
        if (member.until != 0) revert KeyRetired(v.consensusKey);
        bytes32 other = self.keyOf[v.checkpointAddress];
        if (other != 0) {
            if (self.byKey[other].until != STAYS) {
                revert CheckpointAddressRetired(v.checkpointAddress, other);
            }
            revert CheckpointAddressInUse(v.checkpointAddress, other);
        }
        uint256 index = self.keys.length;
        if (index == MAX_VALIDATORS) revert BadSize(index + 1);

        member.checkpointAddress = v.checkpointAddress;
        member.from = uint48(from);
        member.until = STAYS;
        member.feeRecipient = v.feeRecipient;
        member.index = uint16(index);
        member.name = v.name;
        member.network = v.network;
        self.keyOf[v.checkpointAddress] = v.consensusKey;
        self.keys.push(v.consensusKey);
    }

    /// @notice Takes a validator out of the next set, for ever.
    /// @param epoch the current one, to which it still belongs if it did.
    function retire(Members storage self, bytes32 consensusKey, uint64 epoch) internal {
        Member storage member = self.byKey[consensusKey];
        if (member.until != STAYS) revert NotValidator(consensusKey);
        bytes32 last = self.keys[self.keys.length - 1];
        if (last != consensusKey) {
            self.keys[member.index] = last;
            self.byKey[last].index = member.index;
        }
        self.keys.pop();
        member.until = uint48(epoch + 1);
        if (member.from <= epoch) self.leaving.push(consensusKey);
    }

    /// @notice Whether the key is in the set of an epoch. An unknown one is in none: its `until` is zero.
    function isIn(Members storage self, bytes32 consensusKey, uint64 epoch) internal view returns (bool) {
        Member storage member = self.byKey[consensusKey];
        return member.from <= epoch && epoch < member.until;
    }

    /// @notice The set of the current epoch or of the next one, in rising order of the consensus keys.
    function setOf(Members storage self, uint64 epoch) internal view returns (Validator[] memory set) {
        uint256 staying = self.keys.length;
        uint256 all = staying + self.leaving.length;
        bytes32[] memory keys = new bytes32[](all);
        uint256 n;
        for (uint256 i; i < all; ++i) {
            bytes32 key = i < staying ? self.keys[i] : self.leaving[i - staying];
            if (!isIn(self, key, epoch)) continue;
            uint256 place = n++;
            for (; place > 0 && keys[place - 1] > key; --place) {
                keys[place] = keys[place - 1];
            }
            keys[place] = key;
        }
        set = new Validator[](n);
        for (uint256 i; i < n; ++i) {
            Member storage m = self.byKey[keys[i]];
            set[i] = Validator(keys[i], m.checkpointAddress, m.feeRecipient, m.name, m.network);
        }
    }

    function _requireSound(Validator calldata v) private pure {
        if (v.consensusKey == 0 || v.checkpointAddress == address(0)) revert ZeroKey();
        uint256 length = bytes(v.name).length;
        if (length == 0 || length > MAX_NAME_BYTES) revert BadName(length);
        length = bytes(v.network).length;
        if (length > MAX_NETWORK_BYTES) revert BadNetwork(length);
    }
}
