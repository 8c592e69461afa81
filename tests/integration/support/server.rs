//! The real program, as a child process.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::{Child, Command};

use super::{
    client::Client,
    person::Person,
    smtp::Letter,
    wait::{eventually, within},
    world::World,
};

/// How a server is started. The rest is the world's.
#[derive(Clone, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
}

impl Options {
    /// A setting by its environment variable.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.into(), value.to_string()));
        self
    }

    /// The database is reached there.
    pub fn database(self, url: impl ToString) -> Self {
        self.set("DATABASE_URL", url)
    }

    /// Redis is reached there.
    pub fn redis(self, url: impl ToString) -> Self {
        self.set("REDIS_URL", url)
    }

    pub fn rate_limits(self) -> Self {
        self.set("KITH_RATE_LIMITS", "on")
    }

    /// The program with the world's settings and these.
    pub(super) fn command(&self, world: &World) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        // Nothing of the developer's own settings reaches the server.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KITH_")) {
            command.env_remove(name);
        }
        command
            .current_dir(world.dir())
            .stdin(Stdio::null())
            .env("KITH_LISTEN", "127.0.0.1:0")
            .env("DATABASE_URL", &world.database_url)
            .env_remove("REDIS_URL")
            .env("KITH_REDIS_PREFIX", &world.redis_prefix)
            .env("KITH_RATE_LIMITS", "off")
            .env("KITH_JWT_SECRET", &world.jwt_secret)
            .env("RUST_LOG", "info")
            .env("RUST_BACKTRACE", "1")
            .env("NO_COLOR", "1");
        if let Some(url) = &world.redis_url {
            command.env("REDIS_URL", url);
        }
        for (name, value) in &self.settings {
            command.env(name, value);
        }
        command
    }
}

/// A running server. Dropped, it is killed.
pub struct Server {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    pub port: u16,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub async fn start(world: &World, options: Options) -> Self {
        let (port_file, log) = (world.file("port"), world.file("server.log"));
        let output = std::fs::File::create(&log).expect("the log can be made");
        let mut child = options
            .command(world)
            .arg("serve")
            .env("KITH_PORT_FILE", &port_file)
            .stdout(output.try_clone().expect("the log can be shared"))
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .expect("the server can be started");
        let port = eventually("the server to listen", async || {
            if let Some(status) = child.try_wait().expect("the server can be asked") {
                panic!("the server ended before it listened: {status}");
            }
            // `PORT`, or `HOST:PORT`.
            let text = std::fs::read_to_string(&port_file).ok()?;
            text.trim().rsplit(':').next()?.parse().ok()
        })
        .await;
        let server = Self { url: format!("http://127.0.0.1:{port}"), port, child, log };
        eventually("the server to be ready", async || server.is_ready().await.then_some(())).await;
        server
    }

    /// Somebody new with an account here.
    pub async fn person(&self, name: &str) -> Person {
        Person::register(self, name).await
    }

    /// Two new people who are friends, and their conversation.
    pub async fn friends(&self, one: &str, other: &str) -> (Person, Person, String) {
        let (one, other) = tokio::join!(self.person(one), self.person(other));
        let conversation = one.befriend(&other).await;
        (one, other, conversation)
    }

    /// Somebody without an account.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url)
    }

    pub async fn is_ready(&self) -> bool {
        let answer = self.anonymous().http.get(format!("{}/health/ready", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// What it has logged until now.
    pub fn logged(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log can be read")).into_owned()
    }

    /// The first letter to an address whose subject begins so, of a server without a mail server: it writes them to
    /// files.
    pub async fn written_letter(&self, address: &str, subject: &str) -> Letter {
        let outbox = self.log.parent().expect("the log is in the world's directory").join("outbox");
        eventually(&format!("a letter to {address}"), async || {
            let files = std::fs::read_dir(&outbox).ok()?.map(|entry| entry.expect("an entry").path());
            let letters = files.filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
            // Whole from the moment that it has this name.
            let mut letters = letters.map(|path| std::fs::read(path).expect("it can be read"));
            let to = format!("To: {address}\r\n");
            let is_to = |raw: &Vec<u8>| String::from_utf8_lossy(raw).contains(&to);
            letters
                .by_ref()
                .filter(is_to)
                .map(|raw| Letter::parse(address, &raw, false))
                .find(|letter| letter.subject.starts_with(subject))
        })
        .await
    }

    /// Ends it as a power cut would: no chance to do anything more.
    pub async fn kill9(mut self) {
        within(Duration::from_secs(10), "the killed server to be gone", self.child.kill()).await.expect("it is killed");
    }

    /// Asks it to end.
    pub fn begin_to_terminate(&self) {
        self.signal("TERM");
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        within(Duration::from_secs(20), "the server to end", self.child.wait()).await.expect("its status is known")
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(mut self) -> ExitStatus {
        self.begin_to_terminate();
        self.ended().await
    }

    fn signal(&self, name: &str) {
        signal(self.child.id().expect("the server runs"), name);
    }
}

/// Sends a signal to a process that the test started.
pub(super) fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(status.expect("sh can be run").success(), "{name} can be sent to {pid}");
}
