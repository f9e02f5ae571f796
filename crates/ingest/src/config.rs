//! What the operator decides about the MQTT door, and the bounds on what clients may use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where to listen and within which bounds. A listener that is `None` is not opened; port 0 asks for a free port.
#[derive(Debug, Clone, Default)]
pub struct MqttConfig {
    /// MQTT over plain TCP.
    pub tcp: Option<SocketAddr>,
    /// MQTT over TLS 1.2 or 1.3.
    pub tls: Option<TlsListener>,
    /// MQTT over WebSocket (subprotocol `mqtt`, any path). For `wss` put a reverse proxy in front.
    pub ws: Option<SocketAddr>,
    pub limits: Limits,
}

#[derive(Debug, Clone)]
pub struct TlsListener {
    pub address: SocketAddr,
    /// PEM file: the server's certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM file: PKCS#8, SEC1 or PKCS#1 private key.
    pub key: PathBuf,
}

/// Every bound of the door. Past a bound the client is told, in the most exact words its protocol has.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions at one time, over all listeners. Past it a CONNECT is answered `server busy`.
    pub max_connections: usize,
    /// From accept to a complete CONNECT, TLS and WebSocket handshakes included. Ends half-open connections.
    pub connect_timeout: Duration,
    /// Largest packet taken from a client, in bytes, header included: a 64 KiB statement and its topic.
    pub max_packet: usize,
    /// Statements of one connection that are not yet final. Advertised as Receive Maximum in MQTT 5, enforced in
    /// MQTT 3.1.1 by not reading further.
    pub max_in_flight: u16,
    /// The same in bytes of statements: past it the connection is not read until some are final.
    pub max_in_flight_bytes: usize,
    /// Unsent output past which a connection's packets are not processed and events not taken from its queue.
    pub output_high_water: usize,
    /// A connection that has unsent output and whose peer took nothing for so long is closed.
    pub write_timeout: Duration,
    /// Longest keep alive. A client asking for more, or for none, gets this one (MQTT 5: Server Keep Alive).
    pub max_keep_alive: Duration,
    /// Topic filters of one connection.
    pub max_subscriptions: usize,
    /// Committed blocks with something for a subscriber that wait for it; past it the subscriber is disconnected.
    pub subscriber_blocks: usize,
    /// `errors` events a second that reach connections other than the one that sent the refused statement. Anybody
    /// can cause such events in any device's name, so they must not crowd out anything.
    pub foreign_errors_per_second: u32,
    /// How long a closing connection waits for statements in flight, so that they are still acknowledged.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            connect_timeout: Duration::from_secs(10),
            max_packet: 65_536 + 1_024,
            max_in_flight: 1_024,
            max_in_flight_bytes: 4 << 20,
            output_high_water: 64 << 10,
            write_timeout: Duration::from_secs(30),
            max_keep_alive: Duration::from_secs(3_600),
            max_subscriptions: 64,
            subscriber_blocks: 64,
            foreign_errors_per_second: 100,
            drain_timeout: Duration::from_secs(5),
        }
    }
}
