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
        #[arg(long, value_enum, value_delimiter = ',', default_value = "postgres,sqlite")]
        backend: Vec<Backend>,
        /// Only the server, with so many people, without floors: to profile it.
        #[arg(long)]
        alone: Option<u64>,
    },
    /// Deliveries to one conversation's room.
    Fanout {
        /// Sockets in the room; several are measured one after the other.
        #[arg(long, value_delimiter = ',', default_value = "1000,5000")]
        sockets: Vec<u64>,
    },
    /// Memory of sockets that are idle.
    Idle {
        #[arg(long, default_value_t = 10_000)]
        sockets: u64,
        #[arg(long, value_enum, value_delimiter = ',', default_value = "message-events,events")]
        subscription: Vec<Subscription>,
    },
    /// Pages at depth.
    Pages {
        /// Unset: 200,000; with `--full` 1,000,100.
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
        redis_url,
    };
    let scratch = Scratch::new()?;
    let mut report = Report::default();
    println!(
        "{} rounds of {} s; ratios and µs per operation can be compared, rates belong to this machine and moment",
        options.rounds, options.seconds
    );
    for command in cli.command.map_or_else(every_command, |command| vec![command]) {
        match command {
            Command::Sends { backend, alone } => {
                for backend in backend {
                    match alone {
                        None => sends::run(&options, &scratch, &mut report, backend).await?,
                        Some(n) => sends::alone(&options, &scratch, &mut report, backend, n).await?,
                    }
                }
            }
            Command::Fanout { sockets } => fanout::run(&options, &scratch, &mut report, &sockets).await?,
            Command::Idle { sockets, subscription } => {
                idle::run(&options, &scratch, &mut report, sockets, &subscription).await?;
            }
            Command::Pages { messages } => {
                let n_messages = messages.unwrap_or(if cli.full { 1_000_100 } else { 200_000 });
                pages::run(&options, &scratch, &mut report, n_messages).await?;
            }
            Command::FloorBroadcast { bytes } => floor::serve(bytes).await?,
        }
    }
    match report.finish() {
        true => Ok(()),
        false => Err("something was lost, doubled or out of order".into()),
    }
}

/// Each with its defaults.
fn every_command() -> Vec<Command> {
    let parse = |name| Cli::parse_from(["bench", name]).command;
    ["sends", "fanout", "idle", "pages"].into_iter().filter_map(parse).collect()
}
