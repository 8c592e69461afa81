//! One connection: its time limits, and its place among the connections that the server holds.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};

use super::{addresses::Place, metrics::OpenConnection};

/// A request's head is here this long after its first byte; the first one, this long after the connection.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may stay without a request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may refuse to take a single byte of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a connection is in the life of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// No byte has come yet.
    New,
    /// A request's head has begun.
    Head,
    /// A request is being answered.
    Busy,
    /// The last answer is given or on its way, and is no stream.
    Idle,
    /// It is a WebSocket, which has its own time limits.
    Upgraded,
}

/// The phase of a connection: told by those who answer requests, looked at where bytes are read.
#[derive(Debug)]
pub struct Progress(AtomicU8);

impl Progress {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(Phase::New as u8)))
    }

    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::New,
            1 => Phase::Head,
            2 => Phase::Busy,
            3 => Phase::Idle,
            _ => Phase::Upgraded,
        }
    }

    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }
}

/// Makes a connection idle when it is dropped.
pub struct IdleWhenDropped(pub Arc<Progress>);

impl Drop for IdleWhenDropped {
    fn drop(&mut self) {
        self.0.set(Phase::Idle);
    }
}

/// What a connection holds: its place among all, and among those of its address.
pub type Held = (OwnedSemaphorePermit, Option<Place>);

/// A client's connection. Holds its permit until it is closed, as a WebSocket too.
///
/// hyper's own limit on heads also runs between two requests, so it cannot give a head ten seconds and an idle
/// connection sixty; and it sets a timer for each request. Here one timer serves the whole connection: it is set when
/// there is nothing to read, and moved only when it fires.
pub struct Connection {
    stream: TcpStream,
    progress: Arc<Progress>,
    /// When the head that has begun must be here.
    head_deadline: Instant,
    /// Since when nothing is asked: the last piece of an answer. None while something is.
    idle_since: Option<Instant>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    _held: Held,
    _open: OpenConnection,
}

impl Connection {
    pub fn new(stream: TcpStream, progress: Arc<Progress>, held: Held) -> Self {
        Self {
            stream,
            progress,
            head_deadline: Instant::now() + HEAD_TIMEOUT,
            idle_since: None,
            read_timer: None,
            write_timer: None,
            _held: held,
            _open: OpenConnection::count(),
        }
    }

    /// Bytes have come.
    fn note_read(&mut self) {
        if let phase @ (Phase::New | Phase::Idle) = self.progress.phase() {
            if phase == Phase::Idle {
                self.head_deadline = Instant::now() + HEAD_TIMEOUT;
            }
            self.idle_since = None;
            self.progress.set(Phase::Head);
        }
    }

    /// Nothing has come. An error when the client has had its time.
    fn check_read_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let phase = self.progress.phase();
        if phase == Phase::Upgraded {
            self.read_timer = None;
            return Ok(());
        }
        let now = Instant::now();
        let deadline = match phase {
            Phase::New | Phase::Head => self.head_deadline,
            Phase::Idle => *self.idle_since.get_or_insert(now) + IDLE_TIMEOUT,
            Phase::Busy | Phase::Upgraded => now + IDLE_TIMEOUT,
        };
        let timer = self.read_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // A timer that fires too early is moved when it does.
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= now {
                return Err(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline);
        }
        Ok(())
    }

    /// The outcome of a write: one that cannot go on for too long is an error.
    fn check_write<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let phase = self.progress.phase();
        if polled.is_ready() {
            self.write_timer = None;
            if phase == Phase::Idle {
                self.idle_since = Some(Instant::now());
            }
            return polled;
        }
        if phase == Phase::Upgraded {
            return Poll::Pending;
        }
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n_before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if buf.filled().len() > n_before {
                    self.note_read();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.check_read_time(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check_write(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.check_write(cx, polled)
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::Semaphore,
    };

    use super::*;

    /// A connection of ours and the client's end of it.
    async fn connect() -> (Connection, Arc<Progress>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let client = TcpStream::connect(listener.local_addr().expect("has an address")).await.expect("connects");
        let (stream, _) = listener.accept().await.expect("accepts");
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("is open");
        let progress = Progress::new();
        (Connection::new(stream, Arc::clone(&progress), (permit, None)), progress, client)
    }

    /// How long a read waits before it fails for want of time; paused time passes by itself.
    async fn wait(connection: &mut Connection) -> Duration {
        let began = Instant::now();
        let error = connection.read_u8().await.expect_err("nothing is sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    fn assert_about(elapsed: Duration, expected: Duration) {
        assert!(elapsed.abs_diff(expected) < Duration::from_millis(50), "{elapsed:?}, not {expected:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_has_the_time_of_a_head() {
        let (mut connection, _, _client) = connect().await;
        assert_about(wait(&mut connection).await, HEAD_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_does_not_prolong_the_head() {
        let (mut connection, progress, mut client) = connect().await;
        let began = Instant::now();
        for _ in 0..3 {
            client.write_all(b"G").await.expect("is sent");
            connection.read_u8().await.expect("arrives");
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(progress.phase(), Phase::Head);
        wait(&mut connection).await;
        assert_about(began.elapsed(), HEAD_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_longer_and_then_has_the_time_of_a_head_again() {
        let (mut connection, progress, mut client) = connect().await;
        client.write_all(b"G").await.expect("is sent");
        connection.read_u8().await.expect("arrives");
        progress.set(Phase::Busy);
        connection.write_all(b"answer").await.expect("is sent");
        progress.set(Phase::Idle);
        connection.write_all(b"end of it").await.expect("is sent");
        tokio::time::sleep(Duration::from_secs(40)).await;
        client.write_all(b"G").await.expect("is sent");
        connection.read_u8().await.expect("arrives");
        assert_about(wait(&mut connection).await, HEAD_TIMEOUT);

        progress.set(Phase::Idle);
        connection.write_all(b"answer").await.expect("is sent");
        assert_about(wait(&mut connection).await, IDLE_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_no_byte_of_an_answer_is_cut_off() {
        let (mut connection, progress, _client) = connect().await;
        progress.set(Phase::Busy);
        let error = loop {
            let began = Instant::now();
            match connection.write(&[0; 64 * 1024]).await {
                Ok(_) => {}
                Err(error) => {
                    assert_about(began.elapsed(), WRITE_TIMEOUT);
                    break error;
                }
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_busy_or_a_socket_is_not_hurried() {
        for phase in [Phase::Busy, Phase::Upgraded] {
            let (mut connection, progress, mut client) = connect().await;
            progress.set(phase);
            let quiet = tokio::time::timeout(Duration::from_secs(600), connection.read_u8()).await;
            assert!(quiet.is_err(), "{phase:?}");
            client.write_all(b"G").await.expect("is sent");
            connection.read_u8().await.expect("arrives");
            assert_eq!(progress.phase(), phase);
        }
    }
}
