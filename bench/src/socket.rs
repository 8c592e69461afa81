//! The client's end of a graphql-transport-ws socket with one subscription: enough of the protocol to be a good
//! client, and no more.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use memchr::memmem;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{TcpSocket, TcpStream},
};

use crate::Outcome;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Connections from one loopback address: there are about 28,000 ports for them.
const PER_ADDRESS: usize = 20_000;

pub struct Socket {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come yet.
    rest: Vec<u8>,
    /// Messages that came with another one; for [`Socket::hear`].
    heard: VecDeque<Vec<u8>>,
}

/// What came on a socket.
pub enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    Close(&'a [u8]),
}

impl Socket {
    /// Connects as a person and subscribes. `number` spreads the sockets over source addresses.
    pub async fn subscribe(
        address: SocketAddr,
        number: usize,
        token: &str,
        document: &str,
        variables: &serde_json::Value,
    ) -> Outcome<Self> {
        let socket = TcpSocket::new_v4()?;
        if number >= PER_ADDRESS {
            let source = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(number / PER_ADDRESS)?);
            socket.bind((source, 0).into())?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        let mut socket = Self { stream, rest: Vec::new(), heard: VecDeque::new() };
        socket
            .stream
            .write_all(
                b"GET /graphql/ws HTTP/1.1\r\nhost: bench\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                  sec-websocket-protocol: graphql-transport-ws\r\n\r\n",
            )
            .await?;
        let mut head = Vec::with_capacity(512);
        while !head.ends_with(b"\r\n\r\n") {
            // One byte at a time would be slow and more could take a frame away; nothing is sent before the ack.
            if socket.stream.read_buf(&mut head).await? == 0 {
                return Err("the server closed the connection in the handshake".into());
            }
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(format!("no WebSocket: {}", String::from_utf8_lossy(&head)).into());
        }
        let init = json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } });
        socket.say(&init).await?;
        let ack = socket.hear().await?;
        if memmem::find(&ack, b"connection_ack").is_none() {
            return Err(format!("no acknowledgement: {}", String::from_utf8_lossy(&ack)).into());
        }
        let payload = json!({ "query": document, "variables": variables });
        socket.say(&json!({ "type": "subscribe", "id": "1", "payload": payload })).await?;
        Ok(socket)
    }

    /// Sends a message of the protocol.
    pub async fn say(&mut self, message: &serde_json::Value) -> Outcome<()> {
        let mut frame = Vec::new();
        put_frame(&mut frame, TEXT, message.to_string().as_bytes());
        Ok(self.stream.write_all(&frame).await?)
    }

    /// The next message of the protocol; for where time does not matter.
    pub async fn hear(&mut self) -> Outcome<Vec<u8>> {
        let mut scratch = vec![0; 4096];
        let mut heard = std::mem::take(&mut self.heard);
        while heard.is_empty() {
            let n_read = poll_fn(|cx| self.poll_read(cx, &mut scratch)).await?;
            let mut pong = None;
            self.take(&mut scratch, n_read, |frame| {
                match frame {
                    Frame::Text(text) => heard.push_back(text.to_vec()),
                    Frame::Ping(payload) => pong = Some(payload.to_vec()),
                    Frame::Pong => {}
                    Frame::Close(reason) => return Err(closed(reason)),
                }
                Ok(())
            })?;
            if let Some(payload) = pong {
                self.pong(&payload).await?;
            }
        }
        let first = heard.pop_front().unwrap_or_default();
        self.heard = heard;
        Ok(first)
    }

    pub async fn pong(&mut self, payload: &[u8]) -> Outcome<()> {
        let mut frame = Vec::new();
        put_frame(&mut frame, PONG, payload);
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Reads what there is, after what was left over. `scratch` is shared by all sockets; it grows when a frame does
    /// not fit.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let n_rest = self.rest.len();
        if scratch.len() < 2 * n_rest {
            scratch.resize(4 * n_rest, 0);
        }
        let mut buffer = ReadBuf::new(&mut scratch[n_rest..]);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let n_read = buffer.filled().len();
                if n_read == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                scratch[..n_rest].copy_from_slice(&self.rest);
                self.rest.clear();
                Poll::Ready(Ok(n_rest + n_read))
            }
        }
    }

    /// Hands over each whole frame of what was read and keeps what is left.
    pub fn take(
        &mut self,
        scratch: &mut [u8],
        n_read: usize,
        mut each: impl FnMut(Frame<'_>) -> Outcome<()>,
    ) -> Outcome<()> {
        let mut bytes = &scratch[..n_read];
        while let Some((opcode, payload, after)) = split_frame(bytes) {
            each(match opcode {
                TEXT => Frame::Text(payload),
                PING => Frame::Ping(payload),
                PONG => Frame::Pong,
                CLOSE => Frame::Close(payload),
                other => return Err(format!("a frame of the kind {other}").into()),
            })?;
            bytes = after;
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }
}

pub fn closed(reason: &[u8]) -> crate::Failure {
    let code = reason.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
    format!("the server closed a socket: {code} {}", String::from_utf8_lossy(reason.get(2..).unwrap_or_default()))
        .into()
}

/// The first frame, unfragmented and unmasked as a server sends it: opcode, payload, what follows.
fn split_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[first, second], _) = bytes.split_first_chunk::<2>()?;
    let (start, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?) as usize),
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(start..start + length)?;
    Some((first & 0x0f, payload, &bytes[start + length..]))
}

/// A client's frame, masked with zeros: the mask is for old proxies, of which there is none.
fn put_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
}
