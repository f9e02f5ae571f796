//! Cuts connections on which nothing moves: half-open ones, and clients that never read what they asked for.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

/// A connection's place among those that may be open. It lives as long as the socket, also after an upgrade.
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
    connections: Gauge,
}

impl Slot {
    pub fn new(permit: OwnedSemaphorePermit, connections: Gauge) -> Slot {
        connections.inc();
        Slot { _permit: permit, connections }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.dec();
    }
}

/// A TCP stream that fails with `TimedOut` when no byte went either way for `idle`.
pub(crate) struct IdleGuard {
    stream: TcpStream,
    idle: Duration,
    moved: Instant,
    alarm: Pin<Box<Sleep>>,
    _slot: Slot,
}

impl IdleGuard {
    pub fn new(stream: TcpStream, idle: Duration, slot: Slot) -> IdleGuard {
        let moved = Instant::now();
        IdleGuard { stream, idle, moved, alarm: Box::pin(sleep_until(moved + idle)), _slot: slot }
    }

    /// For an operation that has to wait: an error once it has waited too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let deadline = self.moved + self.idle;
            if Instant::now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(deadline);
        }
    }

    fn wrote(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Pending => self.wait(cx),
            ready => {
                self.moved = Instant::now();
                ready
            }
        }
    }
}

impl AsyncRead for IdleGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.wait(cx),
            ready => {
                self.moved = Instant::now();
                ready
            }
        }
    }
}

impl AsyncWrite for IdleGuard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
