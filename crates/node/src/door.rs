//! The chain behind the MQTT door, and JSON-RPC behind the HTTP door.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{broadcast, oneshot};
use triad_api::Peer;
use triad_chain::{Attested, Reader, Submitter};
use triad_ingest::{Accepted, Committed, CommittedLeaf, CommittedVerdict, Door, Refusal};
use triad_rpc::{HttpBody, RpcService};

/// JSON-RPC as routes for the HTTP door.
pub(crate) fn json_rpc(service: RpcService) -> axum::Router {
    axum::Router::new().fallback(move |request: axum::extract::Request| {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let answer = service.handle(request.map(HttpBody::new), peer);
        async move {
            let Ok(response) = answer.await;
            response.map(axum::body::Body::new)
        }
    })
}

const BUFFER: usize = 1024;

#[derive(Clone, Debug)]
pub struct ChainDoor {
    submitter: Submitter,
    events: broadcast::Sender<Arc<Committed>>,
}

impl ChainDoor {
    /// Translates committed blocks for subscribers, as long as there are any, until `stopped`. Must be called within a
    /// runtime.
    pub fn new(
        submitter: Submitter,
        reader: &Reader,
        stopped: impl Future<Output = ()> + Send + 'static,
    ) -> ChainDoor {
        let (events, _) = broadcast::channel(BUFFER);
        let mut blocks = reader.watch();
        let (sender, reader) = (events.clone(), reader.clone());
        let translating = async move {
            loop {
                match blocks.recv().await {
                    Ok(block) if sender.receiver_count() > 0 => {
                        let _ = sender.send(Arc::new(translate(&reader, &block)));
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "subscribers missed committed blocks");
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = translating => {}
                () = stopped => {}
            }
        });
        ChainDoor { submitter, events }
    }
}

fn translate(reader: &Reader, block: &triad_chain::Committed) -> Committed {
    let leaves = block.statements.iter().zip(block.first_leaf..).map(|(v, leaf)| CommittedLeaf {
        leaf,
        origin: v.statement.origin().0,
        signer: v.statement.signer().0,
        statement_id: v.statement.id().0,
    });
    let verdicts = block.verdicts.iter().filter_map(|v| {
        let (stream, _) = reader.stream(&v.stream).ok().flatten()?;
        let mut json = json!({
            "stream": v.stream.to_string(),
            "name": &*stream.name,
            "leaf": v.leaf.0,
            "record": v.record,
            "model": v.model,
            "class": v.class.name(),
            "kind": v.kind.name(),
            "score": f64::from(v.score.ppm()) / 1e6,
            "time_ms": v.time_ms,
            "reason": v.reason.as_str(),
            "height": block.height,
        });
        let signed = v.leaf.0.checked_sub(block.first_leaf).and_then(|at| block.statements.get(at as usize));
        if let Some(a) = signed.and_then(|signed| Attested::of(v, &signed.statement)) {
            let (runner, file) = (a.runner.to_string(), format!("0x{}", hex::encode(a.file)));
            json["attested"] =
                json!({"runner": runner, "model_file": file, "leaf": a.leaf, "record": a.record});
        }
        Some(CommittedVerdict { origin: stream.origin.0, json: json.to_string() })
    });
    Committed {
        height: block.height,
        time_ms: block.time_ms,
        leaves: leaves.collect(),
        verdicts: verdicts.collect(),
    }
}

impl Door for ChainDoor {
    fn source(&self) -> ChainDoor {
        ChainDoor { submitter: self.submitter.source(), events: self.events.clone() }
    }

    async fn submit(&self, statement: Bytes) -> oneshot::Receiver<Result<Accepted, Refusal>> {
        self.submitter.submit(statement).await
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.events.subscribe()
    }
}
