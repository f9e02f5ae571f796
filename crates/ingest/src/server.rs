//! Listeners, connection slots, and the orderly stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::config::MqttConfig;
use crate::door::Door;
use crate::metrics::{Metrics, TransportLabel};
use crate::router::Router;
use crate::session::{self, Common, Shutdown};
use crate::{tls, websocket};

/// Connections past the limit that are still told so, at one time. Beyond, they are just closed.
const BUSY_SLOTS: usize = 64;

/// How long a connection past the limit has for its CONNECT.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after a failed accept (mostly: no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the door could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen for MQTT on {address}: {source}; is another program using it?")]
    Bind { address: SocketAddr, source: io::Error },
    #[error(
        "cannot read the TLS certificate {path}: {source}; a PEM file with CERTIFICATE blocks is expected"
    )]
    Certificate { path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error("cannot read the TLS key {path}: {source}; a PEM file with a PRIVATE KEY block is expected")]
    Key { path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error("TLS certificate and key do not work: {0}")]
    Tls(#[from] rustls::Error),
}

/// Where the door listens, with the ports that were chosen for port 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BoundAddresses {
    pub tcp: Option<SocketAddr>,
    pub tls: Option<SocketAddr>,
    pub ws: Option<SocketAddr>,
}

/// A running door.
#[derive(Debug)]
pub struct MqttServer {
    pub addresses: BoundAddresses,
    task: JoinHandle<()>,
}

impl MqttServer {
    /// Waits until the door is closed: shutdown asked for, statements in flight acknowledged, clients told.
    pub async fn stopped(self) {
        // Cancelled or panicked: stopped all the same.
        let _ = self.task.await;
    }
}

#[derive(Clone)]
enum Transport {
    Tcp,
    Tls(TlsAcceptor),
    WebSocket,
}

impl Transport {
    fn name(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
            Self::WebSocket => "ws",
        }
    }
}

/// What accepting needs, shared by the listeners.
struct Acceptor<D> {
    common: Arc<Common<D>>,
    slots: Arc<Semaphore>,
    busy_slots: Arc<Semaphore>,
    shutdown: Shutdown,
    next_id: AtomicU64,
}

/// Opens the listeners and serves until `shutdown` resolves, then stops in order (see [`MqttServer::stopped`]).
///
/// Metrics are registered in `registry` under `triad_mqtt`. Must be called within a tokio runtime.
pub async fn serve<D: Door>(
    config: MqttConfig,
    door: D,
    registry: &mut Registry,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<MqttServer, ServeError> {
    let mut addresses = BoundAddresses::default();
    let mut listeners = Vec::new();
    if let Some(address) = config.tcp {
        let listener = bind(address, &mut addresses.tcp).await?;
        listeners.push((listener, Transport::Tcp));
    }
    if let Some(tls) = &config.tls {
        let acceptor = tls::acceptor(tls)?;
        let listener = bind(tls.address, &mut addresses.tls).await?;
        listeners.push((listener, Transport::Tls(acceptor)));
    }
    if let Some(address) = config.ws {
        let listener = bind(address, &mut addresses.ws).await?;
        listeners.push((listener, Transport::WebSocket));
    }
    let limits = config.limits;
    let acceptor = Arc::new(Acceptor {
        slots: Arc::new(Semaphore::new(limits.max_connections)),
        busy_slots: Arc::new(Semaphore::new(BUSY_SLOTS)),
        shutdown: shutdown.boxed().shared(),
        next_id: AtomicU64::new(1),
        common: Arc::new(Common {
            door,
            metrics: Metrics::register(registry),
            router: Router::new(limits.foreign_errors_per_second),
            limits,
        }),
    });
    let task = tokio::spawn(supervise(acceptor, listeners));
    Ok(MqttServer { addresses, task })
}

async fn bind(address: SocketAddr, bound: &mut Option<SocketAddr>) -> Result<TcpListener, ServeError> {
    let error = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    *bound = Some(listener.local_addr().map_err(error)?);
    Ok(listener)
}

async fn supervise<D: Door>(acceptor: Arc<Acceptor<D>>, listeners: Vec<(TcpListener, Transport)>) {
    let mut tasks = JoinSet::new();
    for (listener, transport) in listeners {
        tasks.spawn(accept(acceptor.clone(), listener, transport));
    }
    let common = acceptor.common.clone();
    let events = tokio::spawn(async move { common.router.forward(&common.metrics).await });
    acceptor.shutdown.clone().await;
    while tasks.join_next().await.is_some() {}
    // Every connection holds a slot until its end.
    let limits = &acceptor.common.limits;
    let all = u32::try_from(limits.max_connections).unwrap_or(u32::MAX);
    let patience = limits.drain_timeout + Duration::from_secs(2);
    if tokio::time::timeout(patience, acceptor.slots.acquire_many(all)).await.is_err() {
        tracing::warn!("some MQTT connections did not end in time and are cut");
    }
    events.abort();
}

async fn accept<D: Door>(acceptor: Arc<Acceptor<D>>, listener: TcpListener, transport: Transport) {
    loop {
        let stream = tokio::select! {
            () = acceptor.shutdown.clone() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    acceptor.common.metrics.disconnected("accept-failed");
                    tracing::warn!(%error, "cannot accept an MQTT connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (permit, busy) = match acceptor.slots.clone().try_acquire_owned() {
            Ok(permit) => (permit, false),
            Err(_) => match acceptor.busy_slots.clone().try_acquire_owned() {
                Ok(permit) => (permit, true),
                Err(_) => {
                    acceptor.common.metrics.disconnected("too-many-connections");
                    continue;
                }
            },
        };
        tokio::spawn(connection(acceptor.clone(), stream, transport.clone(), permit, busy));
    }
}

async fn connection<D: Door>(
    acceptor: Arc<Acceptor<D>>,
    stream: TcpStream,
    transport: Transport,
    permit: OwnedSemaphorePermit,
    busy: bool,
) {
    let label = TransportLabel { transport: transport.name() };
    let gauge = acceptor.common.metrics.connections.get_or_create_owned(&label);
    gauge.inc();
    let limits = &acceptor.common.limits;
    let deadline = Instant::now() + if busy { BUSY_TIMEOUT } else { limits.connect_timeout };
    // Acknowledgements are small and waited for. Where the option cannot be set they are merely slower.
    let _ = stream.set_nodelay(true);
    match transport {
        Transport::Tcp => acceptor.session(stream, busy, deadline).await,
        Transport::Tls(tls) => {
            let handshake = tls.accept(stream).map(Result::ok);
            if let Some(stream) = acceptor.handshake(handshake, deadline, "tls-handshake").await {
                acceptor.session(stream, busy, deadline).await;
            }
        }
        Transport::WebSocket => {
            let handshake = websocket::accept(stream, limits.max_packet).map(Result::ok);
            if let Some(stream) = acceptor.handshake(handshake, deadline, "websocket-handshake").await {
                acceptor.session(stream, busy, deadline).await;
            }
        }
    }
    gauge.dec();
    drop(permit);
}

impl<D: Door> Acceptor<D> {
    /// The stream under TLS or WebSocket; `None` and a count when it failed or took too long.
    async fn handshake<S>(
        &self,
        handshake: impl Future<Output = Option<S>>,
        deadline: Instant,
        label: &'static str,
    ) -> Option<S> {
        let bounded = tokio::time::timeout_at(deadline, handshake);
        let (stream, reason) = tokio::select! {
            () = self.shutdown.clone() => (None, "server-shutdown"),
            finished = bounded => match finished {
                Ok(stream) => (stream, label),
                Err(_) => (None, "connect-timeout"),
            },
        };
        if stream.is_none() {
            self.common.metrics.disconnected(reason);
        }
        stream
    }

    async fn session<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, busy: bool, deadline: Instant) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        session::run(self.common.clone(), id, stream, self.shutdown.clone(), busy, deadline).await;
    }
}

/// What a session needs besides its stream, for fuzzing over in-memory streams.
#[cfg(test)]
pub(crate) fn standalone<D: Door>(door: D, limits: crate::config::Limits) -> Arc<Common<D>> {
    Arc::new(Common {
        door,
        metrics: Metrics::register(&mut Registry::default()),
        router: Router::new(limits.foreign_errors_per_second),
        limits,
    })
}
