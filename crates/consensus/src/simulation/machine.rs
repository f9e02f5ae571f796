//! The computer that a validator runs on: what the runtime gives, with a clock and a disk of its own, and an end at any moment.

use std::{
    convert::Infallible,
    fmt::Display,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, SystemTime},
};

use commonware_runtime::{
    BlobVersion, Clock, Error, Handle, ListenerOf, Metrics, Name, Network, Resolver, SinkOf, Spawner,
    Storage, StreamOf, Supervisor,
    deterministic::Context,
    signal::Signal,
    telemetry::metrics::{Metric, Registered},
};
use rand::{TryCryptoRng, TryRng};

use super::{
    clock::SkewedClock,
    fuse::{Fuse, Fused},
    torn::{TornBlob, TornDisk},
};

/// What stays when it is put off and on.
#[derive(Debug)]
pub(super) struct Hardware {
    pub(super) clock: SkewedClock,
    pub(super) disk: TornDisk,
    pub(super) fuse: Arc<Fuse>,
}

impl Hardware {
    pub(super) fn new(clock: SkewedClock, syncs: bool) -> Arc<Self> {
        Arc::new(Self { clock, disk: TornDisk::new(syncs), fuse: Arc::default() })
    }
}

pub(super) struct Machine {
    inner: Context,
    hardware: Arc<Hardware>,
}

impl Machine {
    pub(super) fn new(inner: Context, hardware: Arc<Hardware>) -> Self {
        Self { inner, hardware }
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("hardware", &self.hardware).finish_non_exhaustive()
    }
}

impl Supervisor for Machine {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self::new(self.inner.child(label), self.hardware.clone())
    }

    fn with_attribute(self, key: &'static str, value: impl Display) -> Self {
        Self::new(self.inner.with_attribute(key, value), self.hardware)
    }
}

impl Spawner for Machine {
    fn shared(self, blocking: bool) -> Self {
        Self::new(self.inner.shared(blocking), self.hardware)
    }

    fn dedicated(self) -> Self {
        Self::new(self.inner.dedicated(), self.hardware)
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let hardware = self.hardware;
        self.inner.spawn(move |inner| {
            let fuse = hardware.fuse.clone();
            Fused::new(f(Self::new(inner, hardware)), fuse)
        })
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> Signal {
        self.inner.stopped()
    }
}

impl Metrics for Machine {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(
        &self,
        name: N,
        help: H,
        metric: M,
    ) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl governor::clock::Clock for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.current()
    }
}

impl governor::clock::ReasonablyRealtime for Machine {}

impl Clock for Machine {
    fn current(&self) -> SystemTime {
        self.hardware.clock.at(self.inner.current())
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(self.hardware.clock.really(duration))
    }

    /// A clock that is set while somebody sleeps does not wake them earlier or later.
    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.sleep(deadline.duration_since(self.current()).unwrap_or_default())
    }
}

impl Network for Machine {
    type Listener = ListenerOf<Context>;

    async fn bind(&self, socket: SocketAddr) -> Result<Self::Listener, Error> {
        self.inner.bind(socket).await
    }

    async fn dial(&self, socket: SocketAddr) -> Result<(SinkOf<Self>, StreamOf<Self>), Error> {
        self.inner.dial(socket).await
    }
}

impl Resolver for Machine {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        self.inner.resolve(host).await
    }
}

impl TryRng for Machine {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(dest)
    }
}

impl TryCryptoRng for Machine {}

impl Storage for Machine {
    type Blob = TornBlob;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(TornBlob, u64, BlobVersion), Error> {
        self.hardware.disk.open(&self.inner, partition, name, versions).await
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.hardware.disk.remove(&self.inner, partition, name).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.inner.scan(partition).await
    }
}
