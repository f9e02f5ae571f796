//! Real answers against the served OpenAPI document: a small checker of the JSON Schema keywords that it uses.

use serde_json::{Value, json};

use triad_chain::SnapshotOptions;

use crate::common::*;

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(target) => root.pointer(&target[1..]).unwrap_or_else(|| panic!("{target} is defined")),
        None => schema,
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    }
}

fn hex_pattern(pattern: &str, text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or("x");
    let hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let length = pattern.strip_prefix("^0x[0-9a-f]{").and_then(|rest| rest.strip_suffix("}$"));
    hex && length.map_or(digits.len().is_multiple_of(2), |n| n.parse() == Ok(digits.len()))
}

pub fn validate(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolve(root, schema);
    let fail = |what: &str| Err(format!("{at}: {what}: {value}"));
    if let Some(any) = schema.get("anyOf") {
        let outcomes: Vec<_> = any.as_array().unwrap().iter().map(|s| validate(root, s, value, at)).collect();
        return match outcomes.iter().any(Result::is_ok) {
            true => Ok(()),
            false => fail(&format!("none of anyOf: {outcomes:?}")),
        };
    }
    if schema.get("const").is_some_and(|c| c != value) {
        return fail("const");
    }
    if schema.get("enum").is_some_and(|e| !e.as_array().unwrap().contains(value)) {
        return fail("enum");
    }
    match schema.get("type") {
        Some(Value::String(kind)) if !is(kind, value) => return fail(kind),
        Some(Value::Array(kinds)) if !kinds.iter().any(|k| is(k.as_str().unwrap(), value)) => {
            return fail("none of its types");
        }
        _ => {}
    }
    if let (Some(pattern), Some(text)) = (schema.get("pattern"), value.as_str())
        && !hex_pattern(pattern.as_str().unwrap(), text)
    {
        return fail("pattern");
    }
    if let Some(members) = value.as_object() {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                return fail(&format!("{name} is missing"));
            }
        }
        for (name, member) in members {
            match schema.get("properties").and_then(|p| p.get(name)) {
                Some(schema) => validate(root, schema, member, &format!("{at}.{name}"))?,
                None if schema.get("additionalProperties") == Some(&json!(false)) => {
                    return fail(&format!("{name} is not described"));
                }
                None => {}
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        for (i, item) in items.iter().enumerate() {
            validate(root, schema, item, &format!("{at}[{i}]"))?;
        }
    }
    Ok(())
}

static DOCUMENT: std::sync::OnceLock<Value> = std::sync::OnceLock::new();

/// Holds an answer against a named schema, once the document was fetched.
pub fn check(name: &str, value: &Value) {
    if let Some(document) = DOCUMENT.get() {
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        validate(document, &schema, value, name).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_what_the_openapi_document_says() {
    let world = World::start().await;
    let door = &world.door;
    let document = DOCUMENT.get_or_init(|| {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(door.json("/v1/openapi.json"))
        })
    });
    assert_eq!(document["openapi"], "3.1.0");
    let snapshots = tempfile::tempdir().unwrap();
    let options = SnapshotOptions { dir: snapshots.path().to_owned(), every: 1, retention: None, key: None };
    world.chain.ledger.keep_snapshots(options).unwrap();
    // 30 is too high: a verdict with a reason.
    let leaf = door.accept(reading(&world.device, 0, 30.0)).await;
    door.accept(reading(&world.device, 1, 21.0)).await;
    let id = world.device.public().id();
    let stream = triad_statement::stream_id(id, "temperature");
    let height = loop {
        match world.chain.reader.snapshots().last() {
            Some(made) => break made.checkpoint.height,
            None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    let paths = document["paths"].as_object().unwrap();
    let mut seen = 0;
    for (template, item) in paths {
        let id = if template.starts_with("/v1/streams") {
            stream.to_string()
        } else if template.starts_with("/v1/network") {
            crate::evidence::held().records[0].1.id().to_string()
        } else {
            id.to_string()
        };
        let path = template
            .replace("{leaf}", &leaf.to_string())
            .replace("{height}", &height.to_string())
            .replace("{index}", "0")
            .replace("{name}", "temperature")
            .replace("{id}", &id);
        let Some(operation) = item.get("get") else {
            // A route with another method is there too.
            assert_eq!(door.get(&path).await.status(), 405, "{path}");
            continue;
        };
        let response = door.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let content = operation["responses"]["200"]["content"].as_object().unwrap();
        let described =
            content.iter().find(|(name, _)| kind == **name || kind.starts_with(&format!("{name};")));
        let (_, described) = described.unwrap_or_else(|| panic!("{path} gives {kind}: {content:?}"));
        if let Some(schema) = described.get("schema").filter(|_| kind.contains("json")) {
            let body: Value = response.json().await.unwrap();
            validate(document, schema, &body, &path).unwrap_or_else(|why| panic!("{why}"));
            seen += 1;
        }
    }
    assert!(seen >= 19, "{seen}");
    // Every route of the index is in the document, and is what it says.
    let index = door.json("/").await;
    for route in index["routes"].as_array().unwrap() {
        let method = route["method"].as_str().unwrap().to_ascii_lowercase();
        assert!(paths[route["path"].as_str().unwrap()].get(&method).is_some(), "{route}");
    }
    assert_eq!(index["routes"].as_array().unwrap().len(), paths.len());
    let batch = door
        .post("application/cbor-seq", concat(&[reading(&world.device, 2, 21.0), reading(&key(9), 0, 1.0)]));
    let batch = batch.await;
    assert_eq!(batch.status(), 207);
    check("Batch", &batch.json().await.unwrap());
    let one = door.post(COSE, reading(&world.device, 2, 21.0)).await;
    check("Accepted", &one.json().await.unwrap());
}
