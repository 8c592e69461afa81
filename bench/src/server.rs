//! The processes that are measured. Each ends with the value that stands for it, or with us.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Outcome, world::JWT_SECRET};

/// A folder of our own, removed in the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("kith-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server under load.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub log: PathBuf,
}

impl Server {
    /// The real `kith`, of the same build as this program.
    pub async fn start_kith(
        scratch: &Scratch,
        database_url: &str,
        redis_url: Option<&str>,
        log_filter: &str,
    ) -> Outcome<Self> {
        let program = std::env::current_exe()?.with_file_name("kith");
        if !program.exists() {
            return Err(format!("{} is missing: cargo build --release -p kith", program.display()).into());
        }
        let mut command = parented(&program);
        command
            .arg("serve")
            .env("KITH_LISTEN", "127.0.0.1:0")
            .env("DATABASE_URL", database_url)
            .env("KITH_JWT_SECRET", JWT_SECRET)
            .env("KITH_RATE_LIMITS", "off")
            .env("RUST_LOG", log_filter);
        match redis_url {
            Some(url) => command.env("REDIS_URL", url),
            None => command.env_remove("REDIS_URL"),
        };
        Self::start(scratch, command, "KITH_PORT_FILE").await
    }

    /// A bare broadcast: what is left of fan-out without Kith.
    pub async fn start_floor(scratch: &Scratch, n_bytes: usize) -> Outcome<Self> {
        let mut command = parented(&std::env::current_exe()?);
        command.args(["floor-broadcast", "--bytes", &n_bytes.to_string()]);
        Self::start(scratch, command, "BENCH_PORT_FILE").await
    }

    async fn start(scratch: &Scratch, mut command: Command, port_variable: &str) -> Outcome<Self> {
        let unique = Instant::now();
        let name = format!("{unique:?}").chars().filter(char::is_ascii_digit).collect::<String>();
        let (port_file, log) = (scratch.path(&format!("port-{name}")), scratch.path(&format!("log-{name}")));
        let output = File::create(&log)?;
        let child = command
            .env(port_variable, &port_file)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut server = Self { child, address: ([127, 0, 0, 1], 0).into(), log };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(port) = fs::read_to_string(&port_file).ok().and_then(|text| text.trim().parse().ok()) {
                server.address.set_port(port);
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the server ended at once ({status}): {}", server.last_words()).into());
            }
            if Instant::now() > deadline {
                return Err(format!("the server is not up after 30 s: {}", server.last_words()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it has written.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that dies with us, also when we are killed without a chance to clean up. Spawned from the main thread,
/// which lives as long as we do.
fn parented(program: &Path) -> Command {
    let has_setpriv = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_setpriv {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}
