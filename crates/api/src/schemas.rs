//! The JSON shapes of the OpenAPI document. Tests hold real answers against them.

use serde_json::{Map, Value, json};

fn kind(name: &str, what: &str) -> Value {
    json!({"type": name, "description": what})
}

fn nullable(name: &str, what: &str) -> Value {
    json!({"type": [name, "null"], "description": what})
}

fn hex(bytes: usize, what: &str) -> Value {
    json!({"type": "string", "pattern": format!("^0x[0-9a-f]{{{}}}$", bytes * 2), "description": what})
}

fn bytes(what: &str) -> Value {
    json!({"type": "string", "pattern": "^0x([0-9a-f]{2})*$", "description": what})
}

fn time() -> Value {
    json!({"type": ["string", "null"], "format": "date-time",
           "description": "RFC 3339 in UTC with microseconds; null outside of the years 0 to 9999"})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object with exactly these members; those whose name ends in `?` may be missing.
fn object(members: &[(&str, Value)]) -> Value {
    let name = |n: &str| n.trim_end_matches('?').to_owned();
    let properties: Map<String, Value> = members.iter().map(|(n, v)| (name(n), v.clone())).collect();
    let required: Vec<&str> = members.iter().map(|(n, _)| *n).filter(|n| !n.ends_with('?')).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn links(names: &[&str]) -> Value {
    let members: Vec<(&str, Value)> =
        names.iter().map(|n| (*n, kind("string", "path of the resource"))).collect();
    object(&members)
}

fn next() -> Value {
    nullable("string", "give it back as `after` for the next page; null at the end")
}

pub(crate) fn all() -> Value {
    json!({
        "Problem": problem(),
        "Accepted": object(&accepted()),
        "Batch": batch(),
        "Statement": statement(),
        "Record": record(),
        "Verdict": verdict(),
        "Device": device(&[]),
        "DeviceDetail": device(&[
            ("next_sequence", json!({"anyOf": [reference("Sequence"), {"type": "null"}],
                "description": "the number to use next; null for a device without a key, and at the end of an epoch"})),
            ("streams", list(reference("StreamSummary"))),
            ("links", links(&["streams", "did"])),
        ]),
        "Devices": object(&[("devices", list(reference("Device"))), ("next", next())]),
        "DeviceStreams": object(&[
            ("device", hex(20, "device id")),
            ("streams", list(reference("StreamSummary"))),
        ]),
        "Sequence": object(&[
            ("epoch", kind("integer", "high 32 bits; raised by the device's owner")),
            ("counter", kind("integer", "low 32 bits")),
            ("number", kind("integer", "both; may exceed 2^53")),
        ]),
        "DidDocument": did_document(),
        "StreamSummary": object(&summary()),
        "Stream": stream(),
        "Readings": readings(),
        "Awaiting": object(&[("stream", hex(32, "stream id")), ("awaiting", list(awaiting()))]),
        "Verdicts": object(&[
            ("stream", hex(32, "stream id")),
            ("verdicts", list(reference("Verdict"))),
            ("next", next()),
        ]),
        "Checkpoint": checkpoint(),
        "Status": status(),
        "Snapshots": object(&[
            ("snapshots", list(snapshot())),
            ("begins_at", kind("integer", "the block after which this node began with a snapshot; 0: it has all")),
            ("oldest_block", kind("integer", "the oldest block whose statements are here; 0: all are")),
        ]),
        "Inclusion": object(&[
            ("leaf", kind("integer", "index of the leaf")),
            ("leaf_hash", kind("string", "SHA-256(00 ‖ leaf), hex")),
            ("log_size", kind("integer", "leaves of the log that this is about")),
            ("log_root", kind("string", "its root, hex")),
            ("inclusion_path", list(kind("string", "RFC 9162, 2.1.3, from the leaf up, hex"))),
        ]),
        "Consistency": object(&[
            ("from", kind("integer", "leaves of the older log")),
            ("from_root", kind("string", "its root, hex")),
            ("to", kind("integer", "leaves of the newer log")),
            ("to_root", kind("string", "its root, hex")),
            ("consistency_path", list(kind("string", "RFC 9162, 2.1.4, hex"))),
        ]),
        "Evidence": evidence(),
        "EvidenceList": object(&[
            ("evidence", list(reference("Evidence"))),
            ("held", kind("integer", "records that this node holds")),
            ("dropped", kind("integer", "not kept since the start, because there were enough")),
            ("unproven", kind("integer", "conflicts since the start whose signatures did not hold")),
            ("damaged", list(kind("string", "a file that holds no evidence of this chain"))),
            ("next", next()),
        ]),
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "properties": {
            "type": kind("string", "urn:triad:problem:<code>"),
            "title": kind("string", "the kind of problem in words"),
            "status": kind("integer", "the HTTP status"),
            "detail": kind("string", "what was expected, what was found, what to do"),
            "code": kind("string", "stable; see docs"),
            "parameter": kind("string", "the parameter that is not understood"),
            "class": kind("string", "of a refused statement: malformed, not-authorized, conflict, quota-exceeded, \
                                     unavailable, internal"),
            "temporary": kind("boolean", "whether the very same statement may be accepted later"),
        },
        "required": ["type", "title", "status", "detail", "code"],
    })
}

fn accepted() -> Vec<(&'static str, Value)> {
    vec![
        ("leaf", kind("integer", "index of the statement's leaf in the log")),
        ("height", kind("integer", "the block that holds it")),
        ("statement_id", hex(32, "SHA-256 of its COSE Sig_structure")),
        ("signer", hex(20, "device id")),
        ("duplicate", kind("boolean", "it was held already; leaf and height are those of the first time")),
    ]
}

fn batch() -> Value {
    let mut good = vec![
        ("index", kind("integer", "position in the body")),
        ("status", json!({"const": 201})),
        ("location", kind("string", "path of the statement")),
    ];
    good.extend(accepted());
    let bad = [
        ("index", kind("integer", "position in the body")),
        ("status", kind("integer", "the HTTP status it would have had alone")),
        ("problem", reference("Problem")),
    ];
    object(&[
        ("accepted", kind("integer", "statements that are final")),
        ("refused", kind("integer", "statements that are not")),
        ("items", list(json!({"anyOf": [object(&good), object(&bad)]}))),
    ])
}

fn statement() -> Value {
    let content = json!({
        "type": "object",
        "properties": {
            "kind": json!({"enum": ["senml", "encrypted", "hash-envelope", "verdicts"]}),
            "hash_algorithm": kind("string", "SHA-256, SHA-384 or SHA-512"),
            "digest": bytes("hash of the data that is kept elsewhere"),
            "content_type": json!({"type": ["integer", "string", "null"]}),
            "location": nullable("string", "where the data can be had"),
            "model_file": hex(32, "of verdicts: SHA-256 of the model's file"),
            "judged": list(object(&[
                ("stream", hex(32, "stream id")),
                ("model", kind("integer", "model id")),
                ("leaf", kind("integer", "the statement that was judged")),
                ("record", kind("integer", "the reading in it")),
            ])),
        },
        "required": ["kind"],
    });
    object(&[
        ("leaf", kind("integer", "index in the log")),
        ("statement_id", hex(32, "SHA-256 of its COSE Sig_structure")),
        ("height", kind("integer", "the block that holds it")),
        ("block_time", time()),
        ("block_time_ms", kind("integer", "milliseconds since 1970")),
        ("signer", hex(20, "device whose key signed")),
        ("origin", hex(20, "device that the readings are from")),
        ("signed", json!({"enum": ["device-signed", "gateway-signed"]})),
        ("algorithm", json!({"enum": ["EdDSA", "ES256", "ES256K"]})),
        ("sequence", reference("Sequence")),
        ("issued_at", time()),
        ("issued_at_us", nullable("integer", "the iat claim, microseconds since 1970")),
        ("bytes", kind("integer", "length of the stored statement")),
        ("content", content),
        ("readings", list(reference("Record"))),
        ("verdicts", list(reference("Verdict"))),
        ("links", links(&["receipt", "origin", "checkpoint"])),
    ])
}

fn record() -> Value {
    object(&[
        ("record", kind("integer", "index in the pack")),
        ("stream", hex(32, "keccak256(origin ‖ name)")),
        ("name", kind("string", "resolved SenML name")),
        ("unit", nullable("string", "SenML unit")),
        ("time", time()),
        ("time_us", kind("integer", "microseconds since 1970, resolved")),
        ("clock", json!({"enum": ["device-clock", "issued-at", "block-clock"]})),
        ("value?", kind("number", "v")),
        ("text?", kind("string", "vs")),
        ("boolean?", kind("boolean", "vb")),
        ("data?", kind("string", "vd, base64url without padding")),
        ("sum?", kind("number", "s")),
        ("update_seconds?", kind("number", "ut")),
    ])
}

fn verdict() -> Value {
    let kinds: Vec<&str> =
        triad_log::VerdictKind::ALL.into_iter().map(triad_log::VerdictKind::name).collect();
    object(&[
        (
            "leaf",
            kind(
                "integer",
                "the statement it is about; for a silence the stream's last one; of class attested that of the runner who signed it",
            ),
        ),
        (
            "record",
            kind(
                "integer",
                "index of the reading in the pack; of class attested the verdict's place in its statement",
            ),
        ),
        ("height", kind("integer", "the block that holds it")),
        ("stream", hex(32, "stream id")),
        ("model", kind("integer", "model id; below 1000 a default of genesis")),
        ("class", json!({"enum": ["consensus", "attested"]})),
        ("kind", json!({"enum": kinds})),
        ("score_ppm", kind("integer", "parts per million")),
        ("time", time()),
        ("time_ms", kind("integer", "of the reading; for a silence when it was noticed")),
        ("value", nullable("number", "value_e9 as a number, rounded")),
        (
            "value_e9",
            nullable(
                "string",
                "the reading's value, or of a prediction what is predicted, × 10⁹, half to even; null where it does not fit",
            ),
        ),
        ("reason", kind("string", "why")),
        (
            "attested?",
            object(&[
                ("runner", hex(20, "the device that ran the model and signed")),
                ("model_file", hex(32, "SHA-256 of the model's file")),
                ("leaf", kind("integer", "the statement that was judged")),
                ("record", kind("integer", "the reading in it")),
            ]),
        ),
    ])
}

fn awaiting() -> Value {
    let reading = object(&[
        ("time", time()),
        ("time_us", kind("integer", "microseconds since 1970")),
        ("value", kind("number", "in the stream's unit")),
        ("leaf", kind("integer", "statement leaf")),
        ("record", kind("integer", "index in the pack")),
        ("height", kind("integer", "block")),
    ]);
    object(&[("model", kind("integer", "model id")), ("readings", list(reading))])
}

fn device(more: &[(&str, Value)]) -> Value {
    let key = object(&[
        ("cose_key", bytes("canonical COSE_Key")),
        ("did_key", kind("string", "did:key:z…")),
        ("fingerprint", hex(32, "SHA-256 of the COSE_Key, as statement leaves carry it")),
        ("since_height", kind("integer", "the block that set it")),
    ]);
    let mut members = vec![
        ("id", hex(20, "device id")),
        ("owner", hex(20, "Ethereum account")),
        ("algorithm", json!({"enum": ["EdDSA", "ES256", "ES256K", null]})),
        ("key", json!({"anyOf": [key, {"type": "null"}], "description": "null: others speak for it"})),
        ("status", json!({"enum": ["active", "suspended", "revoked"]})),
        ("epoch", kind("integer", "of its sequence numbers")),
        ("metadata", hex(32, "hash of what the owner says about it")),
        ("registered_at_height", kind("integer", "the block that registered it")),
        ("speakers", list(hex(20, "device that may sign for it"))),
    ];
    members.extend_from_slice(more);
    object(&members)
}

fn did_document() -> Value {
    json!({
        "type": "object",
        "properties": {
            "@context": list(kind("string", "")),
            "id": kind("string", "did:web:<host>:v1:devices:<id>"),
            "verificationMethod": list(json!({"type": "object"})),
            "authentication": list(kind("string", "")),
            "assertionMethod": list(kind("string", "")),
            "deactivated": json!({"const": true}),
        },
        "required": ["@context", "id"],
    })
}

fn summary() -> Vec<(&'static str, Value)> {
    vec![
        ("id", hex(32, "stream id")),
        ("origin", hex(20, "device id")),
        ("name", kind("string", "resolved SenML name")),
        ("unit", nullable("string", "fixed by the first reading")),
    ]
}

fn stream() -> Value {
    let place = |mut members: Vec<(&str, Value)>| {
        members.extend([
            ("time", time()),
            ("time_us", kind("integer", "microseconds since 1970")),
            ("leaf", kind("integer", "statement leaf")),
            ("record", kind("integer", "index in the pack")),
            ("height", kind("integer", "block")),
        ]);
        json!({"anyOf": [object(&members), {"type": "null"}]})
    };
    let model = object(&[
        ("id", kind("integer", "below 1000 a default of genesis")),
        ("kind", kind("string", "range, silence, anomaly, forecast, trees, life, failures, network or onnx")),
        ("class", json!({"enum": ["consensus", "attested"]})),
        (
            "params",
            json!({"type": ["object", "null"], "description": "the parameters; defaults are left out"}),
        ),
        ("params_cbor", bytes("the parameters as they are hashed")),
        ("content_hash", hex(32, "SHA-256(kind ‖ 0 ‖ params_cbor)")),
        ("default", kind("boolean", "bound to every stream by genesis")),
    ]);
    let mut members = summary();
    members.extend([
        ("latest_reading", place(vec![("value", kind("number", "in the stream's unit"))])),
        (
            "latest_verdict",
            place(vec![
                ("kind", kind("string", "see Verdict")),
                ("score_ppm", kind("integer", "parts per million")),
                ("class", json!({"enum": ["consensus", "attested"]})),
                ("model", kind("integer", "model id")),
            ]),
        ),
        ("models", list(model)),
        ("links", links(&["readings", "verdicts", "origin"])),
    ]);
    object(&members)
}

fn readings() -> Value {
    let reading = object(&[
        ("time", time()),
        ("time_us", kind("integer", "microseconds since 1970, resolved")),
        ("value", kind("number", "in the stream's unit")),
        ("leaf", kind("integer", "statement leaf")),
        ("record", kind("integer", "index in the pack")),
    ]);
    object(&[
        ("stream", hex(32, "stream id")),
        ("origin", hex(20, "device id")),
        ("name", kind("string", "resolved SenML name")),
        ("unit", nullable("string", "SenML unit")),
        ("readings", list(reading)),
        ("next", next()),
    ])
}

fn checkpoint() -> Value {
    let signature = object(&[
        ("validator", kind("integer", "index in the set of the checkpoint's epoch")),
        ("address", hex(20, "its checkpoint address")),
        ("signature", hex(65, "r ‖ s ‖ v, secp256k1, over the EIP-712 message of the digest")),
    ]);
    object(&[
        ("height", kind("integer", "number of the block")),
        ("digest", hex(32, "SHA-256 of cbor: what the validators sign")),
        ("cbor", bytes("the checkpoint itself")),
        ("certificate", json!({"type": ["string", "null"], "description": "finality certificate"})),
        ("signatures", list(signature)),
        ("version", json!({"const": 1})),
        ("genesis_hash", hex(32, "SHA-256 of the genesis file's RFC 8785 form")),
        ("chain_id", kind("integer", "Ethereum chain id")),
        ("epoch", kind("integer", "which validator set")),
        ("parent_digest", hex(32, "digest of the block before")),
        ("time", time()),
        ("time_ms", kind("integer", "milliseconds since 1970")),
        ("body_hash", hex(32, "SHA-256 of the body")),
        ("log_size", kind("integer", "leaves after this block")),
        ("log_root", hex(32, "RFC 9162 root after this block")),
        ("app_digest", hex(32, "commits to the state outside the EVM")),
        ("eth_block_hash", hex(32, "commits to the EVM state")),
        ("next_validators", json!({"type": ["string", "null"]})),
    ])
}

fn status() -> Value {
    object(&[
        ("version", kind("string", "of the program")),
        ("name", kind("string", "of the chain")),
        ("chain_id", kind("integer", "Ethereum chain id")),
        ("genesis_hash", hex(32, "SHA-256 of the genesis file's RFC 8785 form")),
        ("validators", kind("integer", "how many")),
        ("height", kind("integer", "last final block")),
        ("digest", hex(32, "its checkpoint's digest")),
        ("time", time()),
        ("time_ms", kind("integer", "its time, milliseconds since 1970")),
        ("log_size", kind("integer", "leaves of the log")),
        ("log_root", hex(32, "its root")),
        (
            "waiting",
            object(&[
                ("statements", kind("integer", "verified, not in a block yet")),
                ("transactions", kind("integer", "not in a block yet")),
            ]),
        ),
        ("disk_bytes", kind("integer", "that the store takes")),
    ])
}

fn snapshot() -> Value {
    object(&[
        ("height", kind("integer", "the block after which the state is this")),
        ("digest", hex(32, "of that block's checkpoint")),
        ("time", time()),
        ("root", hex(32, "RFC 9162 root over the chunks")),
        ("chunks", kind("integer", "how many there are")),
        ("bytes", kind("integer", "all chunks together")),
        ("signatures", kind("integer", "validators that vouch for it")),
        ("quorum", kind("integer", "how many must, so that others begin with it")),
        ("vouched_for", kind("boolean", "whether so many do")),
        ("links", links(&["head"])),
    ])
}

fn evidence() -> Value {
    let vote = object(&[
        ("vote", json!({"enum": ["notarize", "finalize", "nullify"]})),
        ("epoch", kind("integer", "consensus epoch")),
        ("view", kind("integer", "consensus view")),
        ("parent_view", nullable("integer", "the view of the block's parent; null for nullify")),
        ("digest", nullable("string", "SHA-256 of the block's checkpoint; null for nullify")),
        ("message", bytes("what was signed")),
        ("signature", hex(64, "Ed25519")),
    ]);
    object(&[
        ("id", kind("string", "key, epoch, view and kind")),
        ("name", nullable("string", "what the validator is called")),
        ("validator", hex(32, "its Ed25519 key")),
        ("epoch", kind("integer", "consensus epoch")),
        ("view", kind("integer", "consensus view")),
        (
            "kind",
            json!({"enum": [1, 2, 3],
            "description": "1 two votes to notarise, 2 two votes to finalise, 3 nullify and finalize"}),
        ),
        ("meaning", kind("string", "what the validator did, in words")),
        ("led", kind("boolean", "whether it led the view; the keeper's word")),
        ("seen_height", kind("integer", "last final block then; the keeper's word")),
        ("seen_time", time()),
        ("seen_time_ms", kind("integer", "milliseconds since 1970; the keeper's word")),
        ("namespace", bytes("triad ‖ genesis hash")),
        ("votes", list(vote)),
        ("links", links(&["file"])),
    ])
}
