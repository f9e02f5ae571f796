// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {LogProof} from "./LogProof.sol";
import {TriadCheckpoint} from "./TriadCheckpoint.sol";

/// @title Verifies, on any EVM chain, what a Triad chain finalised: statements, verdicts, validator hand-overs.
/// @notice It trusts what its deployer put in: the hash of a genesis file and the checkpoint addresses of that genesis'
/// validators. From there on it trusts a quorum of the validators, n − ⌊(n−1)/3⌋ of n, and nobody else: it has no owner,
/// cannot be changed, and holds nothing. Precompiles used: ecrecover and SHA-256.
///
/// A proof goes: signatures → checkpoint → root of the log → leaf. Either all of it in one call (`verifyStatement`,
/// `verifyVerdict`), or the checkpoint once (`submitCheckpoint`) and then any number of proofs under it
/// (`proveStatement`, `proveVerdict`).
///
/// Gas of a call, four validators, three signatures, a log of a million leaves, from cold and without calldata, as
/// test/TriadVerifierGas.t.sol measures it: verifyStatement 54,000, verifyVerdict 61,000, submitCheckpoint 84,000,
/// proveStatement 21,000, proveVerdict 28,000, handOver to four validators 225,000. docs/performance.md has the table.
contract TriadVerifier {
    /// @notice A validator's signature of a checkpoint, in the compact form of EIP-2098.
    struct Signature {
        /// Index in the set of the checkpoint's epoch.
        uint256 validator;
        bytes32 r;
        /// Parity of y in the highest bit, s below it.
        bytes32 vs;
    }

    /// @notice The root that a submitted checkpoint has for the log.
    struct Log {
        bytes32 root;
        uint64 size;
        /// Block time, milliseconds since 1970.
        uint64 timeMs;
        uint64 epoch;
    }

    /// @notice Where an epoch ended.
    struct End {
        bytes32 digest;
        uint64 height;
    }

    /// @notice Most validators of a set that fits here; hand-over is quadratic in their number.
    uint256 public constant MAX_VALIDATORS = 255;
    /// @dev Half the order of secp256k1, rounded down: s may not be larger.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)");
    bytes32 private constant CHECKPOINT = keccak256("Checkpoint(bytes32 digest)");
    /// @dev Bytes of a validator in an encoded set: consensus key and checkpoint address.
    uint256 private constant ROW = 52;

    /// @notice SHA-256 of the RFC 8785 form of the genesis file.
    bytes32 public immutable genesisHash;
    /// @notice The Triad chain's EIP-155 id; not that of the chain this contract is on.
    uint64 public immutable chainId;
    /// @notice EIP-712 domain of the checkpoint signatures.
    bytes32 public immutable domainSeparator;

    /// @notice The newest epoch whose validators are known here.
    uint64 public epoch;
    mapping(uint64 ofEpoch => address[]) private _validators;
    /// @notice Last checkpoint of an epoch that was handed over.
    mapping(uint64 ofEpoch => End) public ends;
    /// @notice What `submitCheckpoint` stored, by height; size 0 where nothing is.
    mapping(uint64 height => Log) public submitted;

    event CheckpointSubmitted(uint64 indexed height, bytes32 digest, uint64 logSize, bytes32 logRoot);
    event HandedOver(uint64 indexed toEpoch, uint64 lastHeight, address[] validators);

    /// @notice A set has 1 to `MAX_VALIDATORS` validators.
    error ValidatorCount(uint256 found);
    /// @notice The address is zero or there twice.
    error BadValidator(address validator);
    /// @notice The checkpoint is of a chain with another genesis.
    error OtherGenesis(bytes32 found);
    /// @notice The checkpoint has another chain id.
    error OtherChain(uint64 found);
    /// @notice Its epoch is not known here yet: hand over to it first.
    error UnknownEpoch(uint64 found, uint64 newest);
    /// @notice Its height does not lie in its epoch, or it is not the checkpoint that ended the epoch.
    error OutsideEpoch(uint64 height, uint64 ofEpoch);
    /// @notice Too few signatures.
    error NoQuorum(uint256 found, uint256 needed);
    /// @notice The signatures are not in rising order of validators, or one is there twice.
    error SignerOrder(uint256 validator);
    /// @notice There is no validator with this index.
    error NoSuchValidator(uint256 validator);
    /// @notice s is more than half the curve's order.
    error HighS(uint256 validator);
    /// @notice The signature is not that validator's; `recovered` is zero where it is none at all.
    error WrongSigner(uint256 validator, address recovered);
    /// @notice Nobody submitted a checkpoint of this height.
    error NotSubmitted(uint64 height);
    /// @notice Another log was submitted for this height: a quorum signed twice. The first stays.
    error Conflict(uint64 height);
    /// @notice The proof is for the log after another block.
    error OtherAnchor(uint64 anchor, uint64 height);
    /// @notice The checkpoint does not end an epoch.
    error NotLastOfEpoch(uint64 height);
    /// @notice The checkpoint ends another epoch than the newest one known here.
    error OtherEpoch(uint64 found, uint64 newest);
    /// @notice The set is not the one that the checkpoint commits to.
    error OtherSet(bytes32 found, bytes32 committed);
    /// @notice The set is not in its canonical form.
    error MalformedSet();

    /// @param genesisHash_ of the chain's genesis file.
    /// @param chainId_ of the Triad chain.
    /// @param validators the checkpoint addresses of genesis, in rising order of their validators' consensus keys.
    constructor(bytes32 genesisHash_, uint64 chainId_, address[] memory validators) {
        genesisHash = genesisHash_;
        chainId = chainId_;
        domainSeparator = keccak256(
            abi.encode(DOMAIN, keccak256("Triad"), keccak256("1"), uint256(chainId_), genesisHash_)
        );
        _install(0, validators);
    }

    // ------------------------------------------------------------------------------------------------- in one call

    /// @notice Proves that the log of this chain holds the statement leaf `p.leaf`. Reverts otherwise.
    /// @param checkpoint canonical CBOR of the checkpoint of height `p.anchor`.
    /// @return leaf SHA-256 of the statement, its signer, origin and key, and its block's height and time.
    function verifyStatement(
        bytes calldata checkpoint,
        Signature[] calldata signatures,
        LogProof.StatementProof calldata p
    ) external view returns (LogProof.StatementLeaf memory leaf) {
        (TriadCheckpoint.Checkpoint memory c,) = _final(checkpoint, signatures);
        _anchored(p.anchor, c.height);
        LogProof.proveStatement(p, c.logSize, c.logRoot);
        return p.leaf;
    }

    /// @notice Proves that a block of this chain gave the verdict `p.verdict`. Reverts otherwise.
    /// @param checkpoint canonical CBOR of the checkpoint of height `p.anchor`.
    /// @return verdict with the reading's stream, time and value × 10^9.
    function verifyVerdict(
        bytes calldata checkpoint,
        Signature[] calldata signatures,
        LogProof.VerdictProof calldata p
    ) external view returns (LogProof.Verdict memory verdict) {
        (TriadCheckpoint.Checkpoint memory c,) = _final(checkpoint, signatures);
        _anchored(p.anchor, c.height);
        return LogProof.proveIn(p, c.logSize, c.logRoot);
    }

    /// @notice Checks a checkpoint and its signatures. Reverts where they do not hold.
    /// @return c its fields.
    /// @return digest SHA-256 of it.
    function verifyCheckpoint(bytes calldata checkpoint, Signature[] calldata signatures)
        external
        view
        returns (TriadCheckpoint.Checkpoint memory c, bytes32 digest)
    {
        return _final(checkpoint, signatures);
    }

    // -------------------------------------------------------------------------------------------------- in two calls

    /// @notice Keeps the log's root of a checkpoint, for any number of proofs. Anybody may call it. A checkpoint that
    /// is kept already changes nothing.
    function submitCheckpoint(bytes calldata checkpoint, Signature[] calldata signatures) external {
        (TriadCheckpoint.Checkpoint memory c, bytes32 digest) = _final(checkpoint, signatures);
        Log storage log = submitted[c.height];
        if (log.size != 0) {
            if (log.root != c.logRoot || log.size != c.logSize || log.timeMs != c.timeMs) {
                revert Conflict(c.height);
            }
            return;
        }
        (log.root, log.size, log.timeMs, log.epoch) = (c.logRoot, c.logSize, c.timeMs, c.epoch);
        emit CheckpointSubmitted(c.height, digest, c.logSize, c.logRoot);
    }

    /// @notice As `verifyStatement`, under the submitted checkpoint of height `p.anchor`.
    function proveStatement(LogProof.StatementProof calldata p)
        external
        view
        returns (LogProof.StatementLeaf memory leaf)
    {
        Log storage log = _submitted(p.anchor);
        LogProof.proveStatement(p, log.size, log.root);
        return p.leaf;
    }

    /// @notice As `verifyVerdict`, under the submitted checkpoint of height `p.anchor`.
    function proveVerdict(LogProof.VerdictProof calldata p)
        external
        view
        returns (LogProof.Verdict memory verdict)
    {
        Log storage log = _submitted(p.anchor);
        return LogProof.proveIn(p, log.size, log.root);
    }

    // ----------------------------------------------------------------------------------------------- validator sets

    /// @notice Follows the chain into its next epoch. Anybody may call it.
    /// @param checkpoint the last of the newest epoch known here, which commits to the next validators.
    /// @param set the next validators: a byte 2, then for each its 32-byte consensus key and its 20-byte checkpoint
    /// address, in rising order of the keys.
    function handOver(bytes calldata checkpoint, Signature[] calldata signatures, bytes calldata set)
        external
    {
        (TriadCheckpoint.Checkpoint memory c, bytes32 digest) = _final(checkpoint, signatures);
        if (c.epoch != epoch) revert OtherEpoch(c.epoch, epoch);
        if (c.nextValidators == 0) revert NotLastOfEpoch(c.height);
        bytes32 found = sha256(set);
        if (found != c.nextValidators) revert OtherSet(found, c.nextValidators);
        address[] memory validators = _decode(set);
        ends[c.epoch] = End(digest, c.height);
        epoch = c.epoch + 1;
        _install(c.epoch + 1, validators);
        emit HandedOver(c.epoch + 1, c.height, validators);
    }

    /// @notice The checkpoint addresses of an epoch, by validator index; empty if it is not known here.
    function validatorsOf(uint64 ofEpoch) external view returns (address[] memory) {
        return _validators[ofEpoch];
    }

    /// @notice How many of `n` validators must sign: n − ⌊(n−1)/3⌋.
    function quorum(uint256 n) public pure returns (uint256) {
        return n - (n - 1) / 3;
    }

    /// @notice What a validator signs for the checkpoint with this digest (EIP-712).
    function messageOf(bytes32 digest) public view returns (bytes32) {
        return
            keccak256(abi.encodePacked(hex"1901", domainSeparator, keccak256(abi.encode(CHECKPOINT, digest))));
    }

    // ------------------------------------------------------------------------------------------------------- inside

    /// @dev The checkpoint, decoded, once it is known to be final on this chain.
    function _final(bytes calldata checkpoint, Signature[] calldata signatures)
        private
        view
        returns (TriadCheckpoint.Checkpoint memory c, bytes32 digest)
    {
        c = TriadCheckpoint.decode(checkpoint);
        if (c.genesisHash != genesisHash) revert OtherGenesis(c.genesisHash);
        if (c.chainId != chainId) revert OtherChain(c.chainId);
        digest = sha256(checkpoint);
        _inEpoch(c, digest);
        _signed(digest, _validators[c.epoch], signatures);
    }

    /// @dev Keys of an epoch count for its own heights only. Whoever got hold of them later can still sign another past
    /// for these heights: rely on old epochs only under checkpoints submitted in time.
    function _inEpoch(TriadCheckpoint.Checkpoint memory c, bytes32 digest) private view {
        if (c.epoch > epoch) revert UnknownEpoch(c.epoch, epoch);
        if (c.epoch > 0 && c.height <= ends[c.epoch - 1].height) revert OutsideEpoch(c.height, c.epoch);
        if (c.epoch == epoch) return;
        End storage end = ends[c.epoch];
        if (c.height > end.height || (c.height == end.height && digest != end.digest)) {
            revert OutsideEpoch(c.height, c.epoch);
        }
    }

    function _signed(bytes32 digest, address[] storage validators, Signature[] calldata signatures)
        private
        view
    {
        uint256 n = validators.length;
        if (signatures.length < quorum(n)) revert NoQuorum(signatures.length, quorum(n));
        bytes32 message = messageOf(digest);
        uint256 least; // the index that the next signer has at least
        for (uint256 i; i < signatures.length; ++i) {
            Signature calldata signature = signatures[i];
            uint256 index = signature.validator;
            if (index >= n) revert NoSuchValidator(index);
            if (index < least) revert SignerOrder(index);
            least = index + 1;
            uint256 s = uint256(signature.vs) & (type(uint256).max >> 1);
            if (s > HALF_ORDER) revert HighS(index);
            uint8 v = uint8(27 + (uint256(signature.vs) >> 255));
            address recovered = ecrecover(message, v, signature.r, bytes32(s));
            // No validator is address zero, which is what ecrecover gives where there is no key.
            if (recovered != validators[index]) revert WrongSigner(index, recovered);
        }
    }

    function _anchored(uint64 anchor, uint64 height) private pure {
        if (anchor != height) revert OtherAnchor(anchor, height);
    }

    function _submitted(uint64 height) private view returns (Log storage log) {
        log = submitted[height];
        if (log.size == 0) revert NotSubmitted(height);
    }

    /// @dev The addresses of an encoded set; its rows must rise.
    function _decode(bytes calldata set) private pure returns (address[] memory validators) {
        if (set.length % ROW != 1 || set[0] != 0x02) revert MalformedSet();
        uint256 n = set.length / ROW;
        validators = new address[](n);
        bytes32 last;
        for (uint256 i; i < n; ++i) {
            uint256 offset = 1 + ROW * i;
            bytes32 key = bytes32(set[offset:offset + 32]);
            if (i > 0 && key <= last) revert MalformedSet();
            last = key;
            validators[i] = address(bytes20(set[offset + 32:offset + ROW]));
        }
    }

    function _install(uint64 ofEpoch, address[] memory validators) private {
        uint256 n = validators.length;
        if (n == 0 || n > MAX_VALIDATORS) revert ValidatorCount(n);
        for (uint256 i; i < n; ++i) {
            if (validators[i] == address(0)) revert BadValidator(address(0));
            for (uint256 k; k < i; ++k) {
                if (validators[k] == validators[i]) revert BadValidator(validators[i]);
            }
        }
        _validators[ofEpoch] = validators;
    }
}
