//! A Redis of one's own, to be killed and frozen.

use std::{path::PathBuf, process::Stdio};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use super::{
    rng::unpredictable,
    server::signal,
    wait::{PATIENCE, eventually, within},
    world::World,
};

pub struct Redis {
    port: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Redis {
    /// Starts one that keeps nothing on the disk.
    pub async fn private(world: &World) -> Self {
        let mut redis = Self { port: free_port().await, log: world.file("redis.log"), child: None };
        redis.start().await;
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it again, empty.
    pub async fn start(&mut self) {
        let program = std::env::var("KITH_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let log = std::fs::File::create(&self.log).expect("the log can be made");
        let child = Command::new(&program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log can be shared"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{program} cannot be run: {error} (see `make test`)")));
        let port = self.port;
        eventually("redis-server to answer", async || ping(port).await).await;
    }

    /// Kills it, with all that it held.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        within(PATIENCE, "redis-server to be gone", child.kill()).await.expect("it is killed");
    }

    /// Stops it in the middle of whatever it does: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        signal(self.child.as_ref().and_then(Child::id).expect("it runs"), name);
    }
}

async fn ping(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(b"PING\r\n").await.ok()?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.ok()?;
    (&answer == b"+PONG").then_some(())
}

/// Below the range from which the kernel takes ports for outgoing connections.
async fn free_port() -> u16 {
    for _ in 0..100 {
        let port = 20_000 + (unpredictable() % 12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
