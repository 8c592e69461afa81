//! A wire that can be cut: a TCP proxy in front of a server, a database or a Redis.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How the wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Whole,
    /// Open connections are reset, and so is each new one.
    Cut,
    /// Bytes vanish; nobody is told.
    BlackHole,
}

pub struct Proxy {
    address: SocketAddr,
    wire: Arc<watch::Sender<Wire>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A whole wire to `target`, e.g. `127.0.0.1:5432`.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let wire = Arc::new(watch::Sender::new(Wire::Whole));
        let (accepted_wire, target) = (Arc::clone(&wire), target.to_owned());
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("connections can be accepted");
                tokio::spawn(join(client, target.clone(), accepted_wire.subscribe()));
            }
        });
        Self { address, wire, accepting }
    }

    /// The same URL, by way of this proxy to where it leads.
    pub async fn before(url: &str) -> (Self, String) {
        let mut parsed = url::Url::parse(url).expect("a URL");
        let host = parsed.host_str().expect("a host");
        let port = parsed.port().expect("a port");
        let proxy = Self::to(&format!("{host}:{port}")).await;
        parsed.set_host(Some("127.0.0.1")).expect("a host can be set");
        parsed.set_port(Some(proxy.address.port())).expect("a port can be set");
        let url = parsed.to_string();
        (proxy, if url.ends_with('/') { url[..url.len() - 1].to_owned() } else { url })
    }

    /// `http://…` of this end.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Resets what is open (RST); what comes is carried again.
    pub fn reset_open(&self) {
        self.wire.send_replace(Wire::Cut);
        self.wire.send_replace(Wire::Whole);
    }

    /// Resets what is open and what comes, until healed.
    pub fn cut(&self) {
        self.wire.send_replace(Wire::Cut);
    }

    /// Swallows everything, until healed.
    pub fn swallow(&self) {
        self.wire.send_replace(Wire::BlackHole);
    }

    /// Carries new connections again. What was in the black hole is reset.
    pub fn heal(&self) {
        self.wire.send_replace(Wire::Cut);
        self.wire.send_replace(Wire::Whole);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.wire.send_replace(Wire::Cut);
    }
}

/// Carries one connection until its ends close or the wire changes.
async fn join(mut client: TcpStream, target: String, mut wire: watch::Receiver<Wire>) {
    let state = *wire.borrow_and_update();
    if state == Wire::BlackHole {
        wire.changed().await.ok();
    }
    if state != Wire::Whole {
        return reset(&client);
    }
    let Ok(mut server) = TcpStream::connect(&target).await else { return reset(&client) };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        _ = wire.changed() => {}
    }
    // A cut may be over when it is seen: whatever the change was, this connection does not survive it.
    if *wire.borrow_and_update() == Wire::BlackHole {
        wire.changed().await.ok();
    }
    reset(&client);
    reset(&server);
}

/// Makes the coming drop send RST instead of FIN.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().ok();
}
