//! HTTP by hand, for what no HTTP library would send.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::wait::{PATIENCE, within};

/// The head of an answer, and what was read behind it.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub rest: Vec<u8>,
}

impl RawAnswer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads a head, up to the empty line.
    pub async fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let mut read = Vec::new();
        let end = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            let n = within(PATIENCE * 2, "the head of an answer", stream.read_buf(&mut read)).await?;
            if n == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        let rest = read.split_off(end + 4);
        let head = String::from_utf8_lossy(&read).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self { status: status.expect("a status line"), headers, rest })
    }
}

/// Sends bytes to a server and gives the connection with the head of the answer.
pub async fn raw_request(url: &str, bytes: &[u8]) -> std::io::Result<(TcpStream, RawAnswer)> {
    let mut stream = TcpStream::connect(address(url)).await?;
    stream.write_all(bytes).await?;
    let answer = RawAnswer::read(&mut stream).await?;
    Ok((stream, answer))
}

/// `HOST:PORT` of `http://HOST:PORT`.
pub fn address(url: &str) -> &str {
    url.strip_prefix("http://").expect("a plain URL")
}
