//! Bytes in, bytes out: large reads, and many packets a write.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// Reads start small, so that ten thousand idle connections are cheap, and grow with what arrives.
const SMALLEST_READ: usize = 2 << 10;
const LARGEST_READ: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    /// Received and not yet processed.
    pub input: BytesMut,
    /// To be sent.
    pub output: BytesMut,
    read_size: usize,
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            read_size: SMALLEST_READ,
            unflushed: false,
        }
    }

    /// Appends to `input`; 0 is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.is_empty() && self.input.capacity() > 2 * self.read_size {
            self.input = BytesMut::new();
        }
        // Less than a whole read's space only when a packet spans reads; BytesMut then grows or moves.
        if self.input.capacity() - self.input.len() < self.read_size {
            self.input.reserve(self.read_size);
        }
        let read = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
        if read >= self.read_size {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        } else if read < self.read_size / 8 {
            self.read_size = (self.read_size / 2).max(SMALLEST_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// Sends what it can; the number of bytes the peer's side took. `Pending` when nothing can be sent now.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut written = 0;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    self.unflushed = true;
                    written += count;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if written > 0 => return Poll::Ready(Ok(written)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.output.capacity() > 2 * LARGEST_READ {
            self.output = BytesMut::new();
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if written > 0 => return Poll::Ready(Ok(written)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(written))
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty() || self.unflushed
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }
}
