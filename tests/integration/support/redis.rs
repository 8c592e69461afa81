//! A Redis of one's own, to be killed and frozen.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

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
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// Starts one that keeps nothing on the disk.
    pub async fn private(world: &World) -> Self {
        Self::with(free_port().await, world.file("redis.log"), Vec::new()).await
    }

    async fn with(port: u16, log: PathBuf, arguments: Vec<String>) -> Self {
        let mut redis = Self { port, log, arguments, child: None };
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
            .args(&self.arguments)
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

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// A Redis Cluster of one's own: three masters, each with a third of the slots.
pub struct RedisCluster {
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// `dir` keeps what the nodes remember of one another.
    pub async fn start(dir: &Path) -> Self {
        let mut nodes = Vec::new();
        for idx in 0..3 {
            let (port, bus_port) = (free_port().await, free_port().await);
            let arguments = [
                ("--cluster-enabled", "yes".to_owned()),
                ("--cluster-port", bus_port.to_string()),
                ("--cluster-config-file", format!("nodes-{idx}.conf")),
                ("--cluster-node-timeout", "1000".to_owned()),
                ("--dir", dir.display().to_string()),
            ];
            let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
            nodes.push((Redis::with(port, dir.join(format!("redis-{idx}.log")), arguments).await, bus_port));
        }
        for (idx, (node, _)) in nodes.iter().enumerate() {
            let (first, last) = (SLOTS * idx / 3, SLOTS * (idx + 1) / 3 - 1);
            node.say(&format!("CLUSTER SET-CONFIG-EPOCH {}", idx + 1)).await;
            node.say(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            for (other, bus_port) in &nodes[..idx] {
                node.say(&format!("CLUSTER MEET 127.0.0.1 {} {bus_port}", other.port)).await;
            }
        }
        let cluster = Self { nodes: nodes.into_iter().map(|(node, _)| node).collect() };
        cluster.whole().await;
        cluster
    }

    pub fn url(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// Waits until every node takes part and knows all three.
    pub async fn whole(&self) {
        for node in &self.nodes {
            eventually("the cluster to be whole", async || {
                let info = node.ask("CLUSTER INFO").await;
                (info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")).then_some(())
            })
            .await;
        }
    }

    /// The slot of a key, and which node has it at the start.
    pub async fn place_of(&self, key: &str) -> (usize, usize) {
        let slot = self.nodes[0].ask(&format!("CLUSTER KEYSLOT {key}")).await;
        let slot: usize = slot.trim().trim_start_matches(':').parse().expect("a number");
        let owner = (0..3).find(|idx| slot < SLOTS * (idx + 1) / 3).expect("one of the three");
        (slot, owner)
    }

    /// Gives a slot without keys to another node.
    pub async fn move_slot(&self, slot: usize, from: usize, to: usize) {
        let id = self.nodes[to].ask("CLUSTER MYID").await;
        let id = id.lines().last().expect("an id").trim().to_owned();
        let rest = (0..3).filter(|idx| *idx != from && *idx != to);
        for idx in [to, from].into_iter().chain(rest) {
            self.nodes[idx].say(&format!("CLUSTER SETSLOT {slot} NODE {id}")).await;
        }
    }
}

impl Redis {
    /// Says something that is answered with OK.
    async fn say(&self, command: &str) {
        let answer = self.ask(command).await;
        assert!(answer.starts_with("+OK"), "{command}: {answer}");
    }

    /// What it answers, as it stands on the wire.
    pub async fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens");
        // It closes behind the answer, so that the end is seen.
        let both = format!("{command}\r\nQUIT\r\n");
        stream.write_all(both.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        within(PATIENCE, "an answer of redis-server", stream.read_to_string(&mut answer)).await.expect("it answers");
        answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
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
