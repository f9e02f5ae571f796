//! Reading a request's body: bounded in bytes, in time, and in what all bodies together may take.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::problem::Problem;
use crate::state::Api;

/// What is still taken from a client whose body is too large, so that it reads the answer instead of a reset.
const DRAIN_BYTES: usize = 4 << 20;

/// A body, and its share of the memory for bodies.
#[derive(Debug)]
pub(crate) struct Held {
    pub bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

/// Reads the whole body; `what` names it in refusals.
pub(crate) async fn read(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    what: &str,
) -> Result<Held, Problem> {
    let limits = &api.config.limits;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let too_large = || {
        let found = declared.map_or_else(|| "more".to_owned(), |n| format!("{n}"));
        Problem::new("too-large", format!("{what} has at most {limit} bytes here, found {found}"))
    };
    let late = |_| {
        let why = format!("the body did not arrive within {} s", limits.body_timeout.as_secs());
        Problem::new("body-timeout", why)
    };
    if declared.is_some_and(|n| n > limit) {
        drain(body, limits.body_timeout).await;
        return Err(too_large());
    }
    let kib = declared.unwrap_or(limit).min(limit).div_ceil(1024).clamp(1, limits.body_memory_kib);
    let share = api.bodies.clone().acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX));
    let share = timeout(limits.read_timeout, share).await.map_err(|_| Problem::busy())?;
    let share = share.map_err(|_| Problem::busy())?;
    let reading = async {
        let mut body = body;
        let mut bytes = BytesMut::with_capacity(declared.unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let broken = |e| Problem::new("incomplete-body", format!("the body broke off: {e}"));
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                if bytes.len() + data.len() > limit {
                    drain(body, limits.body_timeout).await;
                    return Err(too_large());
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(bytes.freeze())
    };
    let bytes = timeout(limits.body_timeout, reading).await.map_err(late)??;
    Ok(Held { bytes, _share: share })
}

async fn drain(mut body: Body, patience: std::time::Duration) {
    let draining = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whoever is slower than that loses the answer.
    let _ = timeout(patience, draining).await;
}
