//! Real clients from npm, as applications use them.

use std::{path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{story, support::*};

/// A script of `tests/clients`.
pub fn script(name: &str) -> Command {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    assert!(
        dir.join("node_modules").is_dir(),
        "tests/clients/node_modules is missing: run `make test`, which installs the clients from npm"
    );
    let mut command = Command::new("node");
    command.arg(dir.join(name)).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs a script to its end; its words are shown when it fails.
pub async fn run(mut command: Command) {
    let output = within(PATIENCE * 6, "the script to end", command.output()).await.expect("node can be run");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "the script failed:\n{said}");
}

/// A script that follows a conversation and prints what it hears.
struct Follower {
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Follower {
    /// Starts one and waits until it says that it listens.
    async fn start(name: &str, person: &Person, conversation: &str, after: &Value, n: usize) -> Self {
        let mut child = script(name)
            .env("KITH_URL", &person.url)
            .env("KITH_TOKEN", person.access_token())
            .env("KITH_CONVERSATION", conversation)
            .env("KITH_AFTER", after.as_str().expect("a cursor"))
            .env("KITH_COUNT", n.to_string())
            .env("KITH_RETRY_MS", "20")
            .stdout(Stdio::piped())
            .spawn()
            .expect("node can be run");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut follower = Self { lines, child };
        assert_eq!(follower.line().await.as_deref(), Some("ready"));
        follower
    }

    async fn line(&mut self) -> Option<String> {
        within(PATIENCE * 2, "a line of the script", self.lines.next_line()).await.expect("text")
    }

    /// The sequences of what it has heard until its end.
    async fn end(mut self) -> Vec<i64> {
        let mut sequences = Vec::new();
        while let Some(line) = self.line().await {
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not an event: {line}"));
            sequences.push(event["messageEdge"]["node"]["sequence"].as_i64().expect("a number"));
        }
        let status = within(PATIENCE, "the script to end", self.child.wait()).await.expect("it has a status");
        assert!(status.success(), "the script failed: {status}");
        sequences
    }
}

/// A client that is cut off ten times hears a hundred messages, once each and in order.
async fn hears_everything(world: &World, name: &str) {
    const N: usize = 100;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let proxy = Proxy::to(&format!("127.0.0.1:{}", server.port)).await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let first = alice.send(&conversation, "From here on.").await["sequence"].as_i64().expect("a number");
    let after = ears.next().await["cursor"].clone();
    let follower = Follower::start(name, &bob.via(&proxy.http_url()), &conversation, &after, N).await;
    for n in 0..N {
        alice.send(&conversation, &format!("{n}")).await;
        if n % 10 == 5 {
            proxy.reset_open();
        }
    }
    let expected: Vec<i64> = (first + 1..=first + N as i64).collect();
    assert_eq!(follower.end().await, expected);
}

story!(graphql_ws_hears_everything_through_ten_cuts, |world| async {
    hears_everything(world, "ws-client.mjs").await;
});

story!(graphql_sse_hears_everything_through_ten_cuts, |world| async {
    hears_everything(world, "sse-client.mjs").await;
});

story!(every_must_and_should_of_graphql_over_http_is_met, |world| async {
    let server = world.server().await;
    let mut audit = script("audit.mjs");
    audit.env("KITH_URL", &server.url);
    run(audit).await;
});
