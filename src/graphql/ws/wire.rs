//! A connection with a buffer of what is to be written, which takes no memory while there is nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that wait before the WebSocket layer's own frames (pongs to a client that sends pings and does not read)
/// wait too.
const MAX_CONTROL_BYTES: usize = 16 * 1024;

/// Collects frames, whole ones only, and writes them all at once when flushed.
///
/// The WebSocket layer's own buffer would keep the size of the largest burst for as long as the socket lives; this
/// one is given back as soon as it is empty.
pub struct Wire<S> {
    stream: S,
    waiting: Vec<u8>,
    n_written: usize,
}

impl<S> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), n_written: 0 }
    }

    /// Where to append frames. They leave with the next flush.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Whether something waits for a flush.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    /// Takes all of `bytes` or, when too much waits, nothing: frames of the WebSocket layer are never torn by ours.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.waiting.len() - self.n_written > MAX_CONTROL_BYTES {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        self.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.n_written < this.waiting.len() {
            let n_written = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.waiting[this.n_written..]))?;
            if n_written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.n_written += n_written;
        }
        this.waiting = Vec::new();
        this.n_written = 0;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn everything_leaves_at_once_and_leaves_nothing_behind() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut wire = Wire::new(near);
        wire.buffer().extend_from_slice(b"one,");
        wire.write_all(b"two,").await.expect("takes it");
        wire.buffer().extend_from_slice(b"three");
        let reader = tokio::spawn(async move {
            let mut text = String::new();
            far.read_to_string(&mut text).await.expect("reads");
            text
        });
        wire.flush().await.expect("writes");
        assert!(!wire.is_waiting());
        assert_eq!(wire.waiting.capacity(), 0);
        drop(wire);
        assert_eq!(reader.await.expect("ends"), "one,two,three");
    }

    #[tokio::test]
    async fn pings_without_end_fill_nothing() {
        let (near, _far) = tokio::io::duplex(8);
        let mut wire = Wire::new(near);
        let flood = async {
            loop {
                wire.write_all(&[0; 100]).await.expect("takes it or waits");
            }
        };
        let limit = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(limit, flood).await.is_err(), "waits");
        assert!(wire.waiting.len() < 2 * MAX_CONTROL_BYTES);
    }
}
