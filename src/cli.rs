//! The command line: what each command does, and how a failed start is told.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    app,
    config::{Config, LogConfig, LogFormat, StorageConfig},
    db::{Db, Migrations},
    error::Error,
    graphql::{self, engine::Engine},
    rate_limits, server,
};

/// Something is wrong with the settings.
const BAD_SETTINGS: u8 = 2;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info,sqlx=warn";

/// How long `kith health` waits.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// Messaging between people who know each other, as one GraphQL API.
#[derive(Parser)]
#[command(name = "kith", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API.
    Serve(Box<Config>),
    /// Bring the database's tables up to date, then exit.
    Migrate(MigrateArguments),
    /// Print the GraphQL schema.
    Schema(SchemaArguments),
    /// Ask a running server whether it is ready; exits with 0 if so, else with 1.
    Health(HealthArguments),
}

#[derive(Args)]
struct MigrateArguments {
    /// After a restore from a backup: makes every resume cursor from before invalid, so that clients fetch anew.
    #[arg(long)]
    new_epoch: bool,
    #[command(flatten)]
    storage: StorageConfig,
    #[command(flatten)]
    log: LogConfig,
}

#[derive(Args)]
struct SchemaArguments {
    /// As a subgraph of Apollo Federation 2, with the entities' keys. A server started with `KITH_FEDERATION=on` is one.
    #[arg(long)]
    federation: bool,
}

#[derive(Args)]
struct HealthArguments {
    /// Address that the server listens on.
    #[arg(long, env = "KITH_LISTEN", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
}

/// Does what the command line and the environment say. A failed start is one sentence on standard error.
pub fn run() -> ExitCode {
    // Exits with 2 and a sentence by itself when an argument is wrong.
    let command = Cli::parse().command;
    let outcome = match command {
        Command::Serve(config) => match with_known_limits(*config).and_then(Config::validated) {
            Ok(config) => on_runtime(serve(config)),
            Err(sentence) => {
                eprintln!("kith: {sentence}");
                return BAD_SETTINGS.into();
            }
        },
        Command::Migrate(arguments) => on_runtime(migrate(arguments)),
        Command::Schema(arguments) => print_schema(arguments.federation),
        Command::Health(arguments) => check_health(arguments.listen),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kith: {}", error.cause().map_or_else(|| error.to_string(), str::to_owned));
            ExitCode::FAILURE
        }
    }
}

/// clap asks for the variables that it knows, and never sees a slip.
fn with_known_limits(config: Config) -> Result<Config, String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    rate_limits::unknown_setting(names).map_or(Ok(config), Err)
}

fn on_runtime(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?.block_on(work)
}

async fn serve(config: Config) -> Result<(), Error> {
    start_log(&config.log);
    let stop = stop_on_signal()?;
    // Before the database is touched: a second start by mistake changes nothing.
    let listener = server::bind(config.server.listen).await?;
    let address = listener.local_addr().map_err(Error::internal)?;
    server::metrics::install();
    let watchers = match config.server.metrics_listen {
        Some(address) => Some(server::bind(address).await?),
        None => None,
    };
    let role = config.server.role.name();
    let engine = Engine::new(app::build(config).await?).await?;
    if let Some(path) = std::env::var_os("KITH_PORT_FILE") {
        write_port(Path::new(&path), address.port())
            .map_err(|error| Error::internal(format!("KITH_PORT_FILE cannot be written: {error}")))?;
    }
    tracing::info!(%address, role, "listening on http://{address}");
    server::run(engine, listener, watchers, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn migrate(arguments: MigrateArguments) -> Result<(), Error> {
    start_log(&arguments.log);
    let db = Db::connect(&arguments.storage).await?;
    let Migrations { n_pending, unknown } = db.migrations().await?;
    db.migrate().await?;
    if arguments.new_epoch {
        db.renew_epoch().await?;
    }
    if !unknown.is_empty() {
        tracing::warn!(?unknown, "a newer version has migrated the database");
    }
    tracing::info!(n_applied = n_pending, "the database is up to date");
    Ok(())
}

fn print_schema(federation: bool) -> Result<(), Error> {
    let mut sdl = graphql::sdl();
    if federation {
        sdl = graphql::federation::subgraph_sdl(&sdl);
    }
    // A reader that has seen enough is no failure.
    match std::io::stdout().write_all(sdl.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::internal(error)),
        _ => Ok(()),
    }
}

/// Asks with bare means, so that a container needs no other program to check on this one.
fn check_health(listen: SocketAddr) -> Result<(), Error> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT)?;
        stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
        stream.set_write_timeout(Some(HEALTH_TIMEOUT))?;
        write!(stream, "GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(16 * 1024).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| Error::internal(format!("{address} does not answer: {error}")))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    println!("{body}");
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(Error::internal(format!("{address} is not ready"))) }
}

/// A token that is cancelled at SIGTERM and SIGINT. A second signal ends the process at once.
fn stop_on_signal() -> Result<CancellationToken, Error> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    let cancelled = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        tracing::info!("stopping");
        cancelled.cancel();
        next().await;
        tracing::warn!("stopping at once");
        std::process::exit(1);
    });
    Ok(stop)
}

/// Writes the port as a whole or not at all: who waits for the file never reads half of it.
fn write_port(path: &Path, port: u16) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, port.to_string())?;
    std::fs::rename(&temporary, path)
}

fn start_log(config: &LogConfig) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Refused only when a log was started before: then that one is written.
    let _ = match config.format {
        LogFormat::Pretty => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        // A message that was put together at run time may hold what a person wrote.
        let message = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(not shown)");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, message, "panicked");
    }));
}
