//! A reverse proxy that knows what belongs to which role, as `docs/deploy` shows it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::server::Server;

/// One address for several processes.
pub struct Crossing {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Crossing {
    /// Sends subscriptions to `realtime`, everything else to `api`, to each of them in turn.
    pub async fn of(api: &[&Server], realtime: &[&Server]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let [api, realtime] = [api, realtime].map(|all| all.iter().map(|server| server.port).collect::<Vec<_>>());
        let accepting = tokio::spawn(async move {
            for n in 0.. {
                let (client, peer) = listener.accept().await.expect("connections can be accepted");
                tokio::spawn(carry(client, peer, api[n % api.len()], realtime[n % realtime.len()]));
            }
        });
        Self { address, accepting }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries one request and its answer; a WebSocket or a stream, to its end.
async fn carry(mut client: TcpStream, peer: SocketAddr, api: u16, realtime: u16) -> Option<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let path = head.split(' ').nth(1)?;
    let to_realtime = path.starts_with("/graphql/ws") || path.starts_with("/graphql/stream");
    let is_upgrade = head.to_ascii_lowercase().contains("\r\nupgrade: websocket");
    let mut forwarded = format!("{head}\r\nx-forwarded-for: {}\r\n", peer.ip());
    if !is_upgrade {
        // The next request may belong to the other role: it comes on a connection of its own.
        forwarded.push_str("connection: close\r\n");
    }
    let mut server = TcpStream::connect(("127.0.0.1", if to_realtime { realtime } else { api })).await.ok()?;
    server.write_all(forwarded.as_bytes()).await.ok()?;
    server.write_all(b"\r\n").await.ok()?;
    server.write_all(&read[end + 4..]).await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
