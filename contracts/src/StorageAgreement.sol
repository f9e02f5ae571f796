// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Addresses} from "./Addresses.sol";
import {Automations} from "./Automations.sol";
import {DeviceRegistry} from "./DeviceRegistry.sol";
import {ITriadTarget, TriadTarget, Triad, VerdictKind} from "./ITriad.sol";
import {LogProof} from "./LogProof.sol";
import {ModelRegistry} from "./ModelRegistry.sol";

/// @title Goods kept in a warehouse under watch: a fee in escrow, and penalties that the sensor decides.
/// @notice A depositor opens an agreement and puts the fee in escrow; the warehouse accepts. From then on every
/// excursion and every silence that the agreed models find in the agreed stream charges a penalty, up to a cap that is
/// at most the fee. After the claim window the charged part goes to the depositor, the rest to the warehouse.
///
/// **What is charged.** Two things deliver the same event, and it is charged once whichever comes first:
/// - a *firing*: `Automations` calls `onTriad` in the block that judged. It is only a prompt and may never come;
/// - a *settlement*: anybody calls `settle` with the verdict and its proof, until the claim window ends.
///
/// A model judges each reading, so a warm hour is many verdicts `high`. An *excursion* is charged so: a verdict of an
/// agreed kind is charged unless an excursion of the same kind was charged less than `coolDownMs` before or after it,
/// by the agreement's clock. An excursion shorter than `coolDownMs` therefore costs one penalty, a longer one may be
/// charged again for each further `coolDownMs` that it lasted. By the device's clock, firing and settlement carry the
/// same time of the same reading. By block time a firing may run later than the block that judged, so there a
/// statement leaf is also charged at most once a kind. A *silence* is named by the last statement before it, and is
/// charged once for that statement; its time is always block time.
///
/// **Which time.** The device's clock (a reading counts if it reached the chain within `maxLagMs` of its time) or block
/// time. An event counts if its time is in [start, end]. `acceptBy` and `claimUntil` are block time. All are
/// milliseconds since 1970. `claimUntil` should leave the slowest reading, `end + maxLagMs`, time to be settled.
///
/// **Whom it trusts.** The owner of the device: who owns it decides what signs for it. It cannot change how the stream
/// is judged meanwhile: the stream's set of models must be frozen (`ModelRegistry.freeze`) until the claim window ends
/// and must hold one model only of each agreed sort, so that a verdict of these kinds comes from the agreed limits.
/// The token: it must move exactly the amount that it is told (a fee on transfer is refused at the start) and not
/// shrink balances. One agreement's token never touches another's, and a party that the token will not pay blocks
/// nobody else and may name another recipient.
contract StorageAgreement is TriadTarget, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Terms {
        IERC20 token;
        address warehouse;
        /// The origin device and the resolved SenML name: the stream.
        bytes20 device;
        string name;
        /// 0 the device's clock, 1 block time.
        uint8 clock;
        uint64 maxLagMs;
        uint64 start;
        uint64 end;
        uint64 acceptBy;
        uint64 claimUntil;
        /// Bit k: verdict kind k is an excursion; of low, high, duration, mkt. Zero: no excursions.
        uint16 excursionKinds;
        /// The smallest score that counts, parts per million; the range model gives breaches 1,000,000.
        uint32 minScore;
        uint64 coolDownMs;
        /// The models whose word counts; zero where there is no such penalty.
        uint64 rangeModel;
        uint64 silenceModel;
        uint128 fee;
        uint128 excursionPenalty;
        uint128 silencePenalty;
        uint128 penaltyCap;
    }

    struct Agreement {
        IERC20 token;
        State state;
        uint8 clock;
        uint16 excursionKinds;
        uint32 minScore;
        // next slots
        address depositor;
        uint64 coolDownMs;
        address warehouse;
        uint64 maxLagMs;
        bytes32 stream;
        uint64 start;
        uint64 end;
        uint64 acceptBy;
        uint64 claimUntil;
        uint64 rangeModel;
        uint64 silenceModel;
        /// Penalties so far.
        uint128 charged;
        uint128 fee;
        uint128 penaltyCap;
        uint128 excursionPenalty;
        uint128 silencePenalty;
    }

    enum State {
        None,
        Offered,
        Active,
        Closed,
        Cancelled
    }

    /// @notice Why an event is not charged.
    enum Refusal {
        None,
        NotActive,
        /// No kind, or no model, or no score that the agreement counts.
        NotAgreed,
        OutsidePeriod,
        TooMuchLag,
        AlreadyCharged,
        CapReached,
        ClaimWindowOver
    }

    /// @dev What firing and settlement tell of an event.
    struct Event {
        uint8 kind;
        uint64 leaf;
        /// The reading's time, and the block time at which it was judged.
        int256 readingMs;
        uint256 blockMs;
        int256 value;
        bool proven;
        string reason;
    }

    uint8 public constant DEVICE_CLOCK = 0;
    uint8 public constant BLOCK_CLOCK = 1;
    uint16 private constant EXCURSIONS = uint16(
        1 << VerdictKind.LOW | 1 << VerdictKind.HIGH | 1 << VerdictKind.DURATION | 1 << VerdictKind.MKT
    );
    /// @dev Block time is milliseconds, of which a contract sees whole seconds.
    uint256 private constant SECOND_MS = 1000;
    uint64 private constant MAX_MS = type(uint64).max / 4;

    uint256 private _lastId;
    mapping(uint256 id => Agreement) private _agreements;
    /// @dev Charged excursions by time divided by the cool-down: two are never in one bucket.
    mapping(uint256 id => mapping(uint8 kind => mapping(uint256 bucket => uint256))) private _chargedAt;
    mapping(uint256 id => mapping(uint8 kind => mapping(uint64 leaf => bool))) private _chargedLeaf;
    /// @notice What `withdraw` would pay a party.
    mapping(uint256 id => mapping(address party => uint256)) public owed;
    /// @notice The agreement that a registration of `Automations` prompts; zero if none.
    mapping(uint64 registration => uint256 id) public attachedTo;

    event Opened(
        uint256 indexed id, address indexed depositor, address indexed warehouse, bytes32 stream, Terms terms
    );
    event Accepted(uint256 indexed id);
    event Cancelled(uint256 indexed id);
    event Attached(uint256 indexed id, uint64 indexed registration);
    /// @notice A penalty. `charged` is the sum so far; `proven` tells a settlement from a firing; `reason` is the
    /// verdict's for a settlement, the kind's name for a firing.
    event Charged(
        uint256 indexed id,
        uint8 indexed kind,
        uint64 leaf,
        int256 readingMs,
        int256 value,
        uint256 amount,
        uint256 charged,
        bool proven,
        string reason
    );
    /// @notice A firing came and was not charged.
    event PromptIgnored(
        uint256 indexed id, uint64 indexed registration, uint64 leaf, uint8 kind, Refusal refusal
    );
    event Closed(uint256 indexed id, uint256 toDepositor, uint256 toWarehouse);
    event Withdrawn(uint256 indexed id, address indexed party, address to, uint256 amount);

    error BadTerms(string problem);
    error ModelNotBound(uint64 model, bytes32 stream);
    /// @notice The stream's models may change before the claim window ends: its device's owner freezes it first.
    error StreamNotFrozen(bytes32 stream, uint64 frozenUntil, uint64 needed);
    /// @notice Another model of the same sort judges the stream.
    error AmbiguousModel(uint64 model, uint64 other);
    error WrongState(uint256 id, State state);
    error NotAllowed(uint256 id, address sender);
    error AcceptanceOver(uint64 acceptBy);
    error ClaimWindowOpen(uint64 claimUntil);
    error WrongRegistration(uint64 registration);
    /// @notice The token moved another amount than it was told.
    error WrongAmountReceived(uint256 received, uint256 expected);
    error Refused(Refusal refusal);
    error NothingOwed(uint256 id, address party);

    // ------------------------------------------------------------------ making an agreement

    /// @notice Offers an agreement to `terms.warehouse`; the sender is the depositor and pays the fee into escrow.
    function open(Terms calldata terms) external nonReentrant returns (uint256 id) {
        return _open(terms);
    }

    /// @notice The same with an ERC-2612 permit of the sender for the fee. A permit that somebody else submitted
    /// already does not hinder.
    function openWithPermit(Terms calldata terms, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
        returns (uint256 id)
    {
        try IERC20Permit(address(terms.token))
            .permit(msg.sender, address(this), terms.fee, deadline, v, r, s) {}
            catch {}
        return _open(terms);
    }

    /// @notice The warehouse agrees.
    function accept(uint256 id) external {
        Agreement storage a = _inState(id, State.Offered);
        if (msg.sender != a.warehouse) revert NotAllowed(id, msg.sender);
        if (_nowMs() > a.acceptBy) revert AcceptanceOver(a.acceptBy);
        a.state = State.Active;
        emit Accepted(id);
    }

    /// @notice Takes an offer back that was not accepted: the depositor at any time, anybody after `acceptBy`. The fee
    /// is then owed to the depositor.
    function cancel(uint256 id) external {
        Agreement storage a = _inState(id, State.Offered);
        if (msg.sender != a.depositor && _nowMs() <= a.acceptBy) revert NotAllowed(id, msg.sender);
        a.state = State.Cancelled;
        owed[id][a.depositor] += a.fee;
        emit Cancelled(id);
    }

    /// @notice Lets a registration of `Automations` prompt an agreement. Its owner made it before, with this contract
    /// as the target and a condition on verdicts of the agreement's stream: of agreed kinds and at least the agreed
    /// score, or of kind silent. An agreement may have several; they never charge an event twice.
    function attach(uint256 id, uint64 registration) external {
        Agreement storage a = _agreements[id];
        if (a.state != State.Offered && a.state != State.Active) revert WrongState(id, a.state);
        Automations.Registration memory r = Automations(Addresses.AUTOMATIONS).registrationOf(registration);
        if (r.owner != msg.sender) revert NotAllowed(id, msg.sender);
        bool excursions = r.kinds & ~uint32(a.excursionKinds) == 0 && r.minScore >= a.minScore;
        bool silences = r.kinds == 1 << VerdictKind.SILENT && a.silenceModel != 0;
        bool fits =
            r.target == address(this) && r.stream == a.stream && r.source == 1 && (excursions || silences);
        if (!fits || attachedTo[registration] != 0) revert WrongRegistration(registration);
        attachedTo[registration] = id;
        emit Attached(id, registration);
    }

    // ------------------------------------------------------------------ charging

    /// @inheritdoc ITriadTarget
    function onTriad(
        uint64 registrationId,
        address,
        bytes32 stream,
        uint64 leafIndex,
        uint64 timeMs,
        int256 value,
        uint8 kind
    ) external onlyFiring {
        uint256 id = attachedTo[registrationId];
        Agreement storage a = _agreements[id];
        if (id == 0 || stream != a.stream) revert WrongRegistration(registrationId);
        Event memory e = Event({
            kind: kind,
            leaf: leafIndex,
            readingMs: int256(uint256(timeMs)),
            blockMs: _nowMs(),
            value: value,
            proven: false,
            reason: _nameOf(kind)
        });
        Refusal refusal = _agreesTo(a, kind) ? _charge(id, a, e) : Refusal.NotAgreed;
        if (refusal != Refusal.None) emit PromptIgnored(id, registrationId, leafIndex, kind, refusal);
    }

    /// @notice Charges an event by its proof. Anybody may, and reverts with the reason if there is nothing to charge.
    function settle(uint256 id, LogProof.VerdictProof calldata proof) external {
        Agreement storage a = _agreements[id];
        LogProof.Verdict memory v = LogProof.prove(proof);
        uint64 model = v.kind == VerdictKind.SILENT ? a.silenceModel : a.rangeModel;
        bool agreed = v.stream == a.stream && v.model == model && v.class == 0 && _agreesTo(a, v.kind)
            && (v.kind == VerdictKind.SILENT || v.score >= a.minScore);
        if (!agreed) revert Refused(Refusal.NotAgreed);
        Event memory e = Event({
            kind: v.kind,
            leaf: v.leaf,
            readingMs: v.timeMs,
            blockMs: proof.timeMs,
            value: v.value,
            proven: true,
            reason: v.reason
        });
        Refusal refusal = _charge(id, a, e);
        if (refusal != Refusal.None) revert Refused(refusal);
    }

    // ------------------------------------------------------------------ the end

    /// @notice Ends an agreement after its claim window and says who is owed what. Anybody may.
    function close(uint256 id) external {
        Agreement storage a = _inState(id, State.Active);
        if (_nowMs() <= a.claimUntil) revert ClaimWindowOpen(a.claimUntil);
        a.state = State.Closed;
        uint256 toDepositor = a.charged;
        uint256 toWarehouse = a.fee - a.charged;
        owed[id][a.depositor] += toDepositor;
        owed[id][a.warehouse] += toWarehouse;
        emit Closed(id, toDepositor, toWarehouse);
    }

    /// @notice Pays a party what it is owed. Anybody may ask; the party gets it.
    function withdraw(uint256 id, address party) external nonReentrant {
        _pay(id, party, party);
    }

    /// @notice Pays what the sender is owed to somebody else, for a party that the token refuses to pay.
    function withdrawTo(uint256 id, address to) external nonReentrant {
        _pay(id, msg.sender, to);
    }

    /// @notice All zero for an id that was never given.
    function agreementOf(uint256 id) external view returns (Agreement memory) {
        return _agreements[id];
    }

    // ------------------------------------------------------------------ inside

    function _open(Terms calldata t) private returns (uint256 id) {
        bytes32 stream = Triad.streamId(t.device, t.name);
        _requireSound(t);
        if (t.rangeModel != 0) _requireModel(t.rangeModel, stream, t.claimUntil);
        if (t.silenceModel != 0) _requireModel(t.silenceModel, stream, t.claimUntil);

        id = ++_lastId;
        Agreement storage a = _agreements[id];
        a.token = t.token;
        a.state = State.Offered;
        a.clock = t.clock;
        a.excursionKinds = t.excursionKinds;
        a.minScore = t.minScore;
        a.depositor = msg.sender;
        a.coolDownMs = t.coolDownMs;
        a.warehouse = t.warehouse;
        a.maxLagMs = t.maxLagMs;
        a.stream = stream;
        a.start = t.start;
        a.end = t.end;
        a.acceptBy = t.acceptBy;
        a.claimUntil = t.claimUntil;
        a.rangeModel = t.rangeModel;
        a.silenceModel = t.silenceModel;
        a.fee = t.fee;
        a.penaltyCap = t.penaltyCap;
        a.excursionPenalty = t.excursionPenalty;
        a.silencePenalty = t.silencePenalty;
        emit Opened(id, msg.sender, t.warehouse, stream, t);

        uint256 before = t.token.balanceOf(address(this));
        t.token.safeTransferFrom(msg.sender, address(this), t.fee);
        uint256 received = t.token.balanceOf(address(this)) - before;
        if (received != t.fee) revert WrongAmountReceived(received, t.fee);
    }

    function _requireSound(Terms calldata t) private view {
        if (t.warehouse == address(0) || t.warehouse == msg.sender) revert BadTerms("warehouse");
        if (!DeviceRegistry(Addresses.DEVICE_REGISTRY).isActive(t.device)) {
            revert BadTerms("device is not active");
        }
        if (bytes(t.name).length == 0) revert BadTerms("name is empty");
        if (t.clock > BLOCK_CLOCK) revert BadTerms("clock");
        if (t.maxLagMs > MAX_MS || t.coolDownMs > MAX_MS) revert BadTerms("time too long");
        if (t.start > t.end) revert BadTerms("end is before start");
        if (t.end > t.claimUntil) revert BadTerms("claimUntil is before end");
        if (t.acceptBy < _nowMs() || t.acceptBy > t.claimUntil) revert BadTerms("acceptBy");
        if (t.fee == 0 || t.penaltyCap > t.fee) revert BadTerms("penaltyCap is above the fee");
        bool excursions = t.rangeModel != 0;
        if (excursions != (t.excursionKinds != 0) || excursions != (t.excursionPenalty != 0)) {
            revert BadTerms("rangeModel, excursionKinds, excursionPenalty: all or none");
        }
        if (t.excursionKinds & ~EXCURSIONS != 0) revert BadTerms("excursionKinds");
        if (excursions && t.coolDownMs == 0) revert BadTerms("coolDownMs is zero");
        if ((t.silenceModel != 0) != (t.silencePenalty != 0)) {
            revert BadTerms("silenceModel, silencePenalty: both or none");
        }
    }

    /// @dev That the model judges the stream, that nobody can change this until the claims are settled, and that no
    /// other model could give verdicts of its kinds.
    function _requireModel(uint64 model, bytes32 stream, uint64 until) private view {
        ModelRegistry models = ModelRegistry(Addresses.MODEL_REGISTRY);
        ModelRegistry.Model memory m = models.modelOf(model);
        if (m.stream != stream) revert ModelNotBound(model, stream);
        uint64 frozen = models.frozenUntil(stream);
        if (frozen < until) revert StreamNotFrozen(stream, frozen, until);
        uint64[] memory all = models.modelsOf(stream);
        for (uint256 i; i < all.length; ++i) {
            if (all[i] != model && models.modelOf(all[i]).kindHash == m.kindHash) {
                revert AmbiguousModel(model, all[i]);
            }
        }
    }

    function _agreesTo(Agreement storage a, uint8 kind) private view returns (bool) {
        if (kind == VerdictKind.SILENT) return a.silenceModel != 0;
        return kind < 16 && a.excursionKinds & (1 << kind) != 0;
    }

    function _charge(uint256 id, Agreement storage a, Event memory e) private returns (Refusal) {
        if (a.state != State.Active) return Refusal.NotActive;
        if (_nowMs() > a.claimUntil) return Refusal.ClaimWindowOver;
        bool silence = e.kind == VerdictKind.SILENT;
        bool byBlock = silence || a.clock == BLOCK_CLOCK;
        int256 time = byBlock ? int256(e.blockMs) : e.readingMs;
        if (time < int256(uint256(a.start)) || time > int256(uint256(a.end))) return Refusal.OutsidePeriod;
        if (!byBlock && _lags(a, e)) return Refusal.TooMuchLag;
        if (a.charged == a.penaltyCap) return Refusal.CapReached;

        if (byBlock && _chargedLeaf[id][e.kind][e.leaf]) return Refusal.AlreadyCharged;
        if (!silence && !_claimTime(id, e.kind, uint256(time), a.coolDownMs)) return Refusal.AlreadyCharged;
        if (byBlock) _chargedLeaf[id][e.kind][e.leaf] = true;

        uint128 amount = silence ? a.silencePenalty : a.excursionPenalty;
        uint128 left = a.penaltyCap - a.charged;
        if (amount > left) amount = left;
        a.charged += amount;
        emit Charged(id, e.kind, e.leaf, e.readingMs, e.value, amount, a.charged, e.proven, e.reason);
        return Refusal.None;
    }

    /// @dev A firing knows block time only to the second, so a reading may seem up to a second ahead.
    function _lags(Agreement storage a, Event memory e) private view returns (bool) {
        int256 lag = int256(e.blockMs) - e.readingMs;
        int256 limit = int256(uint256(a.maxLagMs));
        return lag > limit || lag < -limit - int256(SECOND_MS);
    }

    /// @dev Marks `time` charged unless another charge is less than a cool-down away. Charges are at least a cool-down
    /// apart, so each bucket holds at most one, and only three buckets can hold a near one.
    function _claimTime(uint256 id, uint8 kind, uint256 time, uint256 coolDown) private returns (bool) {
        mapping(uint256 bucket => uint256) storage charged = _chargedAt[id][kind];
        // Times are kept plus one: zero is none.
        uint256 mark = time + 1;
        uint256 bucket = time / coolDown;
        if (charged[bucket] != 0) return false;
        uint256 later = charged[bucket + 1];
        if (later != 0 && later - mark < coolDown) return false;
        if (bucket != 0) {
            uint256 earlier = charged[bucket - 1];
            if (earlier != 0 && mark - earlier < coolDown) return false;
        }
        charged[bucket] = mark;
        return true;
    }

    function _pay(uint256 id, address party, address to) private {
        uint256 amount = owed[id][party];
        if (amount == 0) revert NothingOwed(id, party);
        owed[id][party] = 0;
        emit Withdrawn(id, party, to, amount);
        _agreements[id].token.safeTransfer(to, amount);
    }

    function _inState(uint256 id, State state) private view returns (Agreement storage a) {
        a = _agreements[id];
        if (a.state != state) revert WrongState(id, a.state);
    }

    function _nowMs() private view returns (uint256) {
        return block.timestamp * SECOND_MS;
    }

    function _nameOf(uint8 kind) private pure returns (string memory) {
        if (kind == VerdictKind.LOW) return "low";
        if (kind == VerdictKind.HIGH) return "high";
        if (kind == VerdictKind.DURATION) return "duration";
        if (kind == VerdictKind.MKT) return "mkt";
        if (kind == VerdictKind.SILENT) return "silent";
        return "";
    }
}
