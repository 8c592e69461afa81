//! The least HTTP that can send an operation and read its answer. The generator shares the processor with what it
//! measures, so it must cost as little as possible.

use std::net::SocketAddr;

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Outcome;

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 4096] })
    }

    /// Sends a whole request and reads its answer: the status and the body.
    pub async fn exchange(&mut self, request: &[u8]) -> Outcome<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        let mut n_filled = 0;
        let (mut n_head, mut n_total) = (0, usize::MAX);
        while n_filled < n_total {
            if n_filled == self.buffer.len() {
                self.buffer.resize(2 * n_filled, 0);
            }
            let n_read = self.stream.read(&mut self.buffer[n_filled..]).await?;
            if n_read == 0 {
                return Err("the server closed the connection".into());
            }
            n_filled += n_read;
            if n_head == 0
                && let Some(end) = memmem::find(&self.buffer[..n_filled], b"\r\n\r\n")
            {
                n_head = end + 4;
                n_total = n_head + content_length(&self.buffer[..n_head])?;
                if self.buffer.len() < n_total {
                    self.buffer.resize(n_total, 0);
                }
            }
        }
        let status = std::str::from_utf8(&self.buffer[9..12])?.parse()?;
        Ok((status, &self.buffer[n_head..n_total]))
    }
}

fn content_length(head: &[u8]) -> Outcome<usize> {
    const NAME: &[u8] = b"content-length: ";
    let start = memmem::find(head, NAME).ok_or("an answer without its length")? + NAME.len();
    Ok(number_at(head, start).ok_or("a length that is no number")? as usize)
}

/// The number that begins at a place.
pub fn number_at(text: &[u8], start: usize) -> Option<u64> {
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit());
    let mut n_digits = 0;
    let number = digits.fold(0u64, |number, digit| {
        n_digits += 1;
        number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    });
    (n_digits > 0).then_some(number)
}

/// A `POST` of a GraphQL operation.
pub fn request(token: &str, document: &str, variables: &serde_json::Value) -> Vec<u8> {
    let body = serde_json::json!({ "query": document, "variables": variables }).to_string();
    let length = body.len();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/graphql-response+json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
