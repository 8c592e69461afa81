//! Kith's load generator: starts the real server, puts load on it, and measures floors beside it in the same run.
//! What is printed and what it means: see README.md beside this program's manifest.

mod cpu;
mod fanout;
mod floor;
mod http;
mod idle;
mod pages;
mod report;
mod sends;
mod server;
mod socket;
mod world;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::{idle::Subscription, report::Report, server::Scratch};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

/// Puts load on a Kith of its own, beside the floors. Without a command: all of them.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Longer, and with a million messages.
    #[arg(long, global = true)]
    full: bool,
    /// Rounds; each measures the server and its floor one right after the other. The medians of the rounds are told.
    #[arg(long, global = true)]
    rounds: Option<usize>,
    /// Seconds of each stretch of a round.
    #[arg(long, global = true)]
    seconds: Option<u64>,
    /// Let the server use the Redis of KITH_TEST_REDIS_URL.
    #[arg(long, global = true)]
    redis: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Acknowledged messages a second.
    Sends {
        /// Unset: both.
        #[arg(long, value_enum)]
        backend: Option<Backend>,
    },
    /// Deliveries to one conversation's room.
    Fanout {
        /// Sockets in the room; several are measured one after the other.
        #[arg(long, value_delimiter = ',')]
        sockets: Option<Vec<u64>>,
    },
    /// Memory of sockets that are idle.
    Idle {
        #[arg(long, default_value_t = 10_000)]
        sockets: u64,
        /// Unset: both.
        #[arg(long, value_enum)]
        subscription: Option<Subscription>,
    },
    /// Pages at depth.
    Pages {
        #[arg(long)]
        messages: Option<u64>,
    },
    /// The floor of `fanout`, started by it.
    #[command(hide = true)]
    FloorBroadcast {
        #[arg(long)]
        bytes: usize,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Backend {
    Postgres,
    Sqlite,
}

/// What all measurements share.
pub struct Options {
    rounds: usize,
    seconds: u64,
    full: bool,
    redis_url: Option<String>,
}

impl Options {
    fn slice(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn database_name(&self, of: &str) -> String {
        format!("kith_bench_{}_{of}", std::process::id())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    raise_file_limit();
    if let Some(Command::FloorBroadcast { bytes }) = cli.command {
        // As many threads as the server: the floor must not be better off.
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        return exit_code(runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(floor::serve(bytes))));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    exit_code(runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(until_stopped(cli))))
}

fn exit_code(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Thousands of sockets need more than the usual 1024 open files; what cannot be had shows itself.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Measures until it is done or somebody stops it; the processes that were started end either way.
async fn until_stopped(cli: Cli) -> Outcome<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        outcome = measure(cli) => outcome,
        _ = interrupt.recv() => Err("stopped".into()),
        _ = terminate.recv() => Err("stopped".into()),
    }
}

async fn measure(cli: Cli) -> Outcome<()> {
    let redis_url = match cli.redis {
        true => Some(std::env::var("KITH_TEST_REDIS_URL").map_err(|_| "KITH_TEST_REDIS_URL is not set")?),
        false => None,
    };
    let options = Options {
        rounds: cli.rounds.unwrap_or(if cli.full { 5 } else { 3 }).max(1),
        seconds: cli.seconds.unwrap_or(if cli.full { 4 } else { 1 }).max(1),
        full: cli.full,
        redis_url,
    };
    let scratch = Scratch::new()?;
    let mut report = Report::default();
    println!(
        "{} rounds of {} s; ratios and µs per operation can be compared, rates belong to this machine and moment",
        options.rounds, options.seconds
    );
    let all = cli.command.is_none();
    if let Some(backend) = match &cli.command {
        None | Some(Command::Sends { backend: None }) => Some(&[Backend::Postgres, Backend::Sqlite][..]),
        Some(Command::Sends { backend: Some(Backend::Postgres) }) => Some(&[Backend::Postgres][..]),
        Some(Command::Sends { backend: Some(Backend::Sqlite) }) => Some(&[Backend::Sqlite][..]),
        Some(_) => None,
    } {
        for backend in backend {
            sends::run(&options, &scratch, &mut report, *backend).await?;
        }
    }
    if let (true, sizes) | (false, sizes @ Some(_)) = (all, fanout_sizes(&cli)) {
        fanout::run(&options, &scratch, &mut report, &sizes.unwrap_or_else(|| vec![1000, 5000])).await?;
    }
    let (n_idle, kinds) = match &cli.command {
        None => (10_000, vec![Subscription::MessageEvents, Subscription::Events]),
        Some(Command::Idle { sockets, subscription: Some(one) }) => (*sockets, vec![*one]),
        Some(Command::Idle { sockets, subscription: None }) => {
            (*sockets, vec![Subscription::MessageEvents, Subscription::Events])
        }
        Some(_) => (0, Vec::new()),
    };
    if !kinds.is_empty() {
        idle::run(&options, &scratch, &mut report, n_idle, &kinds).await?;
    }
    let n_messages = if options.full { 1_000_100 } else { 200_000 };
    match &cli.command {
        None => pages::run(&options, &scratch, &mut report, n_messages).await?,
        Some(Command::Pages { messages }) => {
            pages::run(&options, &scratch, &mut report, messages.unwrap_or(n_messages)).await?;
        }
        Some(_) => {}
    }
    match report.finish() {
        true => Ok(()),
        false => Err("something was lost, doubled or out of order".into()),
    }
}

fn fanout_sizes(cli: &Cli) -> Option<Vec<u64>> {
    match &cli.command {
        Some(Command::Fanout { sockets }) => Some(sockets.clone().unwrap_or_else(|| vec![1000, 5000])),
        _ => None,
    }
}
