//! Triad's own namespace.

use alloy_primitives::{B256, U256};
use serde_json::{Value, json};
use triad_chain::testing::{genesis, wallet};
use triad_chain::{DefaultModel, contracts};
use triad_models::{RangeSpec, Spec};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder, stream_id};

use crate::common::*;

const T0: i64 = 1_700_000_100_000_000;

struct Judged {
    w: World,
    key: SigningKey,
}

impl Judged {
    /// A device, and a range model on every stream: 20 to 25.
    async fn start() -> Judged {
        let spec = Spec::Range(RangeSpec { low: Some(20.0), high: Some(25.0), ..RangeSpec::default() });
        let model = DefaultModel { kind: spec.kind().into(), params: spec.params().into() };
        let w = World::with(config(), genesis(vec![model])).await;
        let key = SigningKey::from_secret_bytes(Algorithm::EdDsa, &[1; 32]).unwrap();
        let batch = vec![contracts::registration(7423, wallet(1).address(), &key, B256::ZERO)];
        let (to, input) = contracts::register(batch);
        tokio::task::block_in_place(|| w.chain.send(&wallet(1), Some(to), input, U256::ZERO));
        Judged { w, key }
    }

    fn device(&self) -> triad_statement::DeviceId {
        self.key.public().id()
    }

    async fn say(&self, n: u32, name: &str, value: f64) -> u64 {
        let time = T0 + i64::from(n) * 1_000_000;
        let statement = StatementBuilder::new(&self.key, Sequence::new(0, n))
            .number(name, Some("Cel"), value, Some(time))
            .sign();
        self.w.chain.submitter.statement(statement).await.unwrap().leaf
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_reading_and_its_proof_can_be_had() {
    let j = Judged::start().await;
    let door = &j.w.door;
    let device = json!(j.device());
    let stream = stream_id(j.device(), "temperature");
    assert_eq!(door.call("triad_getLatestReading", json!([stream])).await, Value::Null);
    let leaf = j.say(1, "temperature", 21.5).await;
    let reading = door.call("triad_getLatestReading", json!([stream])).await;
    assert_eq!(reading, door.call("triad_getLatestReading", json!([device, "temperature"])).await);
    assert_eq!(
        (&reading["value"], &reading["leaf"], &reading["unit"]),
        (&json!(21.5), &json!(hex(leaf)), &json!("Cel"))
    );
    assert_eq!(reading["timeUs"], T0 + 1_000_000);
    let receipt = door.call("triad_getReceipt", json!([hex(leaf)])).await;
    assert_eq!(receipt, door.call("triad_getReceipt", json!([leaf])).await);
    let bytes: alloy_primitives::Bytes = serde_json::from_value(receipt).unwrap();
    let anchor = &j.w.chain.reader.spec().anchor;
    triad_log::Receipt::verify_bytes(&bytes, anchor).expect("the receipt verifies");
    assert!(door.error("triad_getReceipt", json!([1_000_000])).await.1.contains("there is no leaf"));
    let newest = door.call("triad_getCheckpoint", json!([])).await;
    assert_eq!(newest, door.call("triad_getCheckpoint", json!([newest["height"]])).await);
    assert_eq!(door.call("triad_getCheckpoint", json!([1_000_000])).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_and_verdicts_are_heard_of_once() {
    let j = Judged::start().await;
    let mut socket = j.w.door.socket().await;
    let stream = stream_id(j.device(), "temperature");
    let one = socket.subscribe("triad_subscribe", json!(["readings", {"stream": stream}])).await;
    let all = socket.subscribe("triad_subscribe", json!(["readings", {"device": j.device()}])).await;
    let verdicts =
        socket.subscribe("triad_subscribe", json!(["verdicts", {"stream": stream, "minScore": 0.5}])).await;
    let none = json!(["verdicts", {"kinds": ["silence"]}]);
    socket.subscribe("triad_subscribe", none).await;
    j.say(1, "temperature", 22.0).await;
    j.say(2, "humidity", 60.0).await;
    let leaf = j.say(3, "temperature", 30.0).await;
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(socket.next().await);
    }
    let of = |id: &str, field: &str| {
        let mine = told.iter().filter(|p| p["subscription"] == id);
        mine.map(|p| p["result"][field].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&one, "value"), [json!(22.0), json!(30.0)]);
    assert_eq!(of(&all, "name"), [json!("temperature"), json!("humidity"), json!("temperature")]);
    assert_eq!(of(&verdicts, "leaf"), [json!(hex(leaf))]);
    let wrong = socket.answer("triad_subscribe", json!(["readings", {"steam": stream}])).await;
    assert_eq!(wrong["error"]["code"], -32602);
}
