//! Who used how much of the processor, and memory, out of `/proc`.

use std::{
    fs,
    time::{Duration, Instant},
};

/// Whose share is told.
#[derive(Clone, Copy)]
pub struct Watched {
    /// The server's process.
    pub server: Option<u32>,
    /// The postmaster; its backends are its children.
    pub database: Option<u32>,
}

/// Processor time used until a moment.
#[derive(Clone, Copy)]
pub struct Sample {
    at: Instant,
    server: Duration,
    database: Duration,
    generator: Duration,
}

/// Processor time used between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub elapsed: Duration,
    pub server: Duration,
    pub database: Duration,
    pub generator: Duration,
}

impl Watched {
    pub fn sample(&self) -> Sample {
        Sample {
            at: Instant::now(),
            server: self.server.map_or(Duration::ZERO, |pid| process_time(pid, false)),
            database: self.database.map_or(Duration::ZERO, postgres_time),
            // With the children that have ended: pgbench is a generator too.
            generator: process_time(std::process::id(), true),
        }
    }
}

impl Sample {
    pub fn until(&self, later: &Sample) -> Usage {
        Usage {
            elapsed: later.at - self.at,
            server: later.server.saturating_sub(self.server),
            database: later.database.saturating_sub(self.database),
            generator: later.generator.saturating_sub(self.generator),
        }
    }
}

impl Usage {
    /// Percents of one core: server / database / generator.
    pub fn shares(&self) -> String {
        let share = |part: Duration| 100.0 * part.as_secs_f64() / self.elapsed.as_secs_f64().max(0.001);
        format!("{:.0} / {:.0} / {:.0}", share(self.server), share(self.database), share(self.generator))
    }

    pub fn server_us_per(&self, n: u64) -> f64 {
        self.server.as_secs_f64() * 1e6 / n.max(1) as f64
    }

    pub fn database_us_per(&self, n: u64) -> f64 {
        self.database.as_secs_f64() * 1e6 / n.max(1) as f64
    }
}

/// The fields of `/proc/PID/stat` after the name, or nothing if there is no such process any more.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
const CHILDREN_USER: usize = 13;
const CHILDREN_SYSTEM: usize = 14;

fn process_time(pid: u32, with_ended_children: bool) -> Duration {
    let Some(fields) = stat(pid) else { return Duration::ZERO };
    let ended = if with_ended_children { fields[CHILDREN_USER] + fields[CHILDREN_SYSTEM] } else { 0 };
    let ticks = fields[USER] + fields[SYSTEM] + ended;
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn postgres_time(postmaster: u32) -> Duration {
    let backends: Duration = process_ids()
        .filter(|pid| stat(*pid).is_some_and(|fields| fields[PARENT] == u64::from(postmaster)))
        .map(|pid| process_time(pid, false))
        .sum();
    backends + process_time(postmaster, true)
}

fn process_ids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process that started another one.
pub fn parent_of(pid: u32) -> Option<u32> {
    stat(pid)?.get(PARENT).and_then(|parent| u32::try_from(*parent).ok())
}

/// Memory that a process holds, in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
}
