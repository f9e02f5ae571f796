//! The door itself: its methods over HTTP and WebSocket.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::{
    BatchRequestConfig, HttpBody, HttpRequest, HttpResponse, Methods, PingConfig, RandomIntegerIdProvider,
    Server, ServerConfig, ServerHandle, TowerServiceBuilder, serve_with_graceful_shutdown, stop_channel,
};
use jsonrpsee::types::SubscriptionId;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::layer::util::{Identity, Stack};
use tower::{Service, ServiceBuilder};
use tower_http::cors::CorsLayer;
use triad_chain::{Reader, Submitter};

use crate::bounds::Gate;
use crate::feed::Feed;
use crate::filters::Filters;
use crate::methods::{self, Context};
use crate::places::{Peer, Places};
use crate::{RpcConfig, RpcError};

/// Messages that wait for a client to read them; whoever makes more waits.
const MESSAGE_BUFFER: u32 = 128;
/// An idle WebSocket is asked for a sign of life this often, and cut when it gives none for [`SILENCE`].
const PING: Duration = Duration::from_secs(25);
const SILENCE: Duration = Duration::from_secs(60);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

type Builder = TowerServiceBuilder<Identity, Stack<CorsLayer, Identity>>;

/// Subscription ids as Ethereum has them: quantities.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        match RandomIntegerIdProvider.next_id() {
            SubscriptionId::Num(id) => SubscriptionId::Str(format!("{id:#x}").into()),
            text => text,
        }
    }
}

/// The door, open or not. Clones are one door.
#[derive(Clone)]
pub struct Rpc {
    config: RpcConfig,
    methods: Methods,
    gate: Gate,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Rpc {
    /// `accounts` are shown by `eth_accounts`; the node never signs for them. Must be called within a tokio runtime.
    pub fn new(
        config: RpcConfig,
        reader: Reader,
        submitter: Submitter,
        accounts: Vec<Address>,
    ) -> Result<Rpc, RpcError> {
        let context = Context {
            feed: Feed::start(&reader),
            filters: Filters::default(),
            places: Places::default(),
            config: config.clone(),
            reader,
            submitter,
            accounts,
        };
        let gate = Gate::default();
        let module = methods::module(context, &gate).map_err(|e| RpcError::Methods(e.to_string()))?;
        Ok(Rpc { config, methods: module.into(), gate })
    }

    /// Ends the calls, simulations and traces that run, with an error, and refuses new ones: they would keep the store
    /// open. For when the node goes down.
    pub fn end_calls(&self) {
        self.gate.stop();
    }

    fn limits(&self) -> ServerConfig {
        let c = &self.config;
        ServerConfig::builder()
            .max_request_body_size(c.max_request)
            .max_response_body_size(c.max_response)
            .max_connections(c.max_connections)
            .max_subscriptions_per_connection(c.max_subscriptions)
            .set_batch_request_config(BatchRequestConfig::Limit(c.max_batch))
            .set_message_buffer_capacity(MESSAGE_BUFFER)
            .enable_ws_ping(PingConfig::new().ping_interval(PING).inactive_limit(SILENCE))
            .set_id_provider(HexIds)
            .build()
    }

    /// Listens on the configured address until the handle says stop.
    pub async fn listen(&self) -> Result<(SocketAddr, ServerHandle), RpcError> {
        let error = |source| RpcError::Bind { address: self.config.addr, source };
        let listener = TcpListener::bind(self.config.addr).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let (service, handle) = self.service();
        tokio::spawn(accept(listener, service, self.config.max_connections as usize));
        Ok((address, handle))
    }

    /// The door as a service for another server's route, with the same methods and limits. WebSockets in it end when the
    /// handle says stop.
    pub fn service(&self) -> (RpcService, ServerHandle) {
        let (stop, handle) = stop_channel();
        let builder = Server::builder()
            .set_config(self.limits())
            .set_http_middleware(ServiceBuilder::new().layer(CorsLayer::permissive()))
            .to_service_builder();
        (RpcService { builder, methods: self.methods.clone(), stop }, handle)
    }
}

/// See [`Rpc::service`].
#[derive(Clone)]
pub struct RpcService {
    builder: Builder,
    methods: Methods,
    stop: jsonrpsee::server::StopHandle,
}

impl std::fmt::Debug for RpcService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcService").finish_non_exhaustive()
    }
}

impl RpcService {
    /// Answers one request of a peer, or takes its connection over as a WebSocket.
    pub fn handle(
        &self,
        mut request: HttpRequest,
        peer: Option<IpAddr>,
    ) -> impl Future<Output = Result<HttpResponse, Infallible>> + Send + use<> {
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer));
        }
        // A service of its own for each request: that is how connections are told apart.
        let mut service = self.builder.clone().build(self.methods.clone(), self.stop.clone());
        let answer = Service::<HttpRequest>::call(&mut service, request);
        async move {
            Ok(answer.await.unwrap_or_else(|error| {
                tracing::debug!(%error, "a JSON-RPC request could not be answered");
                let mut response = HttpResponse::new(HttpBody::empty());
                *response.status_mut() = jsonrpsee::server::http::response::internal_error().status();
                response
            }))
        }
    }
}

/// Serves connections until the door is told to stop. Connections past the limit are closed.
async fn accept(listener: TcpListener, service: RpcService, most: usize) {
    let slots = Arc::new(Semaphore::new(most));
    let mut stopped = pin!(service.stop.clone().shutdown());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: they come back when connections end.
                tracing::warn!(%error, "a JSON-RPC connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        // Answers are small and waited for. Where the option cannot be set they are merely slower.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        tokio::spawn(async move {
            let stopped = service.stop.clone().shutdown();
            let answering = tower::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                service.handle(request.map(HttpBody::new), Some(peer.ip()))
            });
            if let Err(error) = serve_with_graceful_shutdown(stream, answering, stopped).await {
                tracing::debug!(%error, "a JSON-RPC connection ended badly");
            }
            drop(slot);
        });
    }
}
