//! What fan-out costs without Kith: a bare axum WebSocket broadcast of bytes encoded once, one write per message.
//! Runs as a process of its own and speaks as much of the protocol as the generator needs.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, Utf8Bytes, WebSocket},
    },
    response::Response,
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::broadcast};

use crate::Outcome;

/// As small as it makes sense: the default of 128 KiB would be cleared before each read.
const READ_BUFFER: usize = 2048;

struct Floor {
    n_bytes: usize,
    /// Held while a message is handed out: their order is that of their numbers.
    sequence: Mutex<u64>,
    messages: broadcast::Sender<Utf8Bytes>,
}

pub async fn serve(n_bytes: usize) -> Outcome<()> {
    let (messages, _) = broadcast::channel(1024);
    let floor = Arc::new(Floor { n_bytes, sequence: Mutex::new(0), messages });
    let router = Router::new().route("/graphql", post(send)).route("/graphql/ws", get(connect)).with_state(floor);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let file = std::env::var_os("BENCH_PORT_FILE").ok_or("BENCH_PORT_FILE is not set: this is started by the bench")?;
    // Whole or not at all: somebody waits for it.
    let half = std::path::Path::new(&file).with_extension("half");
    std::fs::write(&half, port.to_string())?;
    std::fs::rename(&half, &file)?;
    Ok(axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), router).await?)
}

/// Takes what the generator sends to Kith: the time in the body is passed on.
async fn send(State(floor): State<Arc<Floor>>, request: Bytes) -> String {
    const NAME: &[u8] = b"\"body\":\"";
    let time = memchr::memmem::find(&request, NAME).map(|at| at + NAME.len()).and_then(|at| request.get(at..at + 16));
    let time = time.and_then(|time| std::str::from_utf8(time).ok()).unwrap_or_default();
    let mut newest = floor.sequence.lock().expect("nobody panicked");
    *newest += 1;
    let sequence = *newest;
    let mut text = format!(
        r#"{{"id":"1","type":"next","payload":{{"data":{{"messageEvents":{{"messageEdge":{{"node":{{"sequence":{sequence},"body":"{time}"#
    );
    let end = r#""}}}}}}"#;
    text.extend(std::iter::repeat_n('x', floor.n_bytes.saturating_sub(text.len() + end.len())));
    text.push_str(end);
    // Nobody may be listening yet.
    let _ = floor.messages.send(text.into());
    format!(r#"{{"data":{{"sendMessage":{{"messageEdge":{{"node":{{"sequence":{sequence}}}}},"replayed":false}}}}}}"#)
}

async fn connect(State(floor): State<Arc<Floor>>, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade.read_buffer_size(READ_BUFFER).protocols(["graphql-transport-ws"]);
    upgrade.on_upgrade(move |socket| async move {
        // A client that has gone is no concern of anybody's.
        let _ = broadcast_to(socket, &floor).await;
    })
}

async fn broadcast_to(mut socket: WebSocket, floor: &Floor) -> Option<()> {
    // `connection_init`, then `subscribe`.
    socket.recv().await?.ok()?;
    let mut messages = floor.messages.subscribe();
    socket.send(Message::Text(r#"{"type":"connection_ack"}"#.into())).await.ok()?;
    socket.recv().await?.ok()?;
    loop {
        tokio::select! {
            // A listener that lags ends: the generator sees it and says so.
            message = messages.recv() => socket.send(Message::Text(message.ok()?)).await.ok()?,
            heard = socket.recv() => drop(heard?.ok()?),
        }
    }
}
