//! Listening, one task a connection, and the order of stopping. HTTP/1.1; for TLS and HTTP/2 put a reverse proxy in
//! front.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::config::{ApiConfig, Backend};
use crate::guard::{IdleGuard, Slot};
use crate::problem::{PROBLEM_JSON, Problem};
use crate::routes;
use crate::sources::Peer;
use crate::state::Api;

/// A request's head, and what is buffered of its body, in bytes.
const BUFFER: usize = 64 * 1024;
/// Clients past the limit that are told so at a time; further ones are cut without a word.
const BUSY_SLOTS: usize = 64;
/// For telling them.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// After a failed accept (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Shutdown = Shared<BoxFuture<'static, ()>>;

/// The door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address} for HTTP: {source}; choose another address, or stop what uses it")]
    Bind { address: SocketAddr, source: std::io::Error },
}

/// A running door.
#[derive(Debug)]
pub struct ApiServer {
    /// Where it listens, with the port that was chosen for port 0.
    pub address: SocketAddr,
    pub task: JoinHandle<()>,
}

impl ApiServer {
    /// Waits until the door is closed: shutdown asked for, requests in flight answered.
    pub async fn stopped(self) {
        // Cancelled or panicked: stopped all the same.
        let _ = self.task.await;
    }
}

/// Opens the door and serves until `shutdown` resolves. Must be called within a tokio runtime.
pub async fn serve(
    config: ApiConfig,
    backend: Backend,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<ApiServer, ServeError> {
    let error = |source| ServeError::Bind { address: config.address, source };
    let listener = TcpListener::bind(config.address).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    let api = Api::new(config, backend);
    let shutdown = shutdown.boxed().shared();
    let task = tokio::spawn(accept(api, listener, shutdown));
    Ok(ApiServer { address, task })
}

async fn accept(api: Api, listener: TcpListener, shutdown: Shutdown) {
    let router = routes::router(&api);
    let most = api.config.limits.max_connections;
    let slots = Arc::new(Semaphore::new(most));
    let busy_slots = Arc::new(Semaphore::new(BUSY_SLOTS));
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.clone() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        match slots.clone().try_acquire_owned() {
            Ok(permit) => {
                let slot = Slot::new(permit, api.metrics.connections.clone());
                let (router, peer) = (router.clone(), Peer(peer.ip()));
                tokio::spawn(connection(api.clone(), router, stream, peer, shutdown.clone(), slot));
            }
            Err(_) => {
                api.metrics.connections_refused.inc();
                if let Ok(slot) = busy_slots.clone().try_acquire_owned() {
                    tokio::spawn(refuse(stream, most, slot));
                }
            }
        }
    }
    // Every socket holds a slot until its end.
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    let patience = api.config.limits.drain_timeout + Duration::from_secs(1);
    if tokio::time::timeout(patience, slots.acquire_many(all)).await.is_err() {
        tracing::warn!("some HTTP connections did not end in time and are cut");
    }
}

async fn connection(
    api: Api,
    router: axum::Router,
    stream: TcpStream,
    peer: Peer,
    shutdown: Shutdown,
    slot: Slot,
) {
    let limits = &api.config.limits;
    // Answers are small and waited for. Where the option cannot be set they are merely slower.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(IdleGuard::new(stream, limits.idle_timeout, slot));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        hyper::service::Service::call(&router, request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown => {
            connection.as_mut().graceful_shutdown();
            let drained = tokio::time::timeout(limits.drain_timeout, connection.as_mut()).await;
            drained.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "an HTTP connection ended badly");
    }
}

/// One answer to a client for whom there is no room.
async fn refuse(mut stream: TcpStream, most: usize, _slot: OwnedSemaphorePermit) {
    let why = format!("{most} connections are open, which is the limit: try again in a moment");
    let body = Problem::new("too-many-connections", why).json().to_string();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        // Clients take an answer that precedes their request for a broken one.
        let mut sink = [0; 4096];
        if stream.read(&mut sink).await? == 0 {
            return Ok(());
        }
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection before the client has read the answer.
        while stream.read(&mut sink).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A client that has gone, or does not listen, is no concern.
    let _ = tokio::time::timeout(BUSY_TIMEOUT, told).await;
}
