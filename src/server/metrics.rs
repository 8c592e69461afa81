//! What is counted, and how it is shown at `/metrics`.
//!
//! | name | type | labels | counts |
//! | --- | --- | --- | --- |
//! | [`OPERATIONS`] | counter | `kind`: query, mutation, subscription, unknown; `outcome`: ok, errors, refused | operations; refused: never executed |
//! | [`OPERATION_SECONDS`] | histogram | `kind`: query, mutation | time to execute an operation |
//! | [`CONNECTIONS`] | gauge | | TCP connections that are open |
//! | [`CONNECTIONS_REFUSED`] | counter | | connections over the limit |
//! | [`SOCKETS`] | gauge | `transport`: ws, sse | sockets and event streams that are open |
//! | [`SUBSCRIPTIONS`] | gauge | | subscriptions that are open |
//! | [`DELIVERIES`] | counter | | events handed to subscribers' outboxes |
//! | [`RESYNCS`] | counter | | times that a subscriber was told to start over |
//! | [`GAPS_REPAIRED`] | counter | | events that were read from the log because the bus did not bring them |
//! | [`COMMITS`] | counter | | commits of the committer |
//! | [`COMMIT_BATCH_SIZE`] | histogram | | sends in one of its commits |
//! | [`BUS_DROPPED`] | counter | | events that were not published because too many waited |
//! | [`RATE_LIMITED`] | counter | `action` | actions that were refused for being too many |
//! | [`MAILS`] | counter | `outcome`: sent, failed, given_up, pointless | tries to send a mail |
//! | [`BUS_HEALTHY`] | gauge | | 1 while events reach other processes, else 0 |
//!
//! Others record with the macros of the `metrics` crate and these names. Labels are from closed sets, never from what a
//! client sends.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use async_graphql::parser::types::OperationType;
use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub const OPERATIONS: &str = "kith_operations_total";
pub const OPERATION_SECONDS: &str = "kith_operation_duration_seconds";
pub const CONNECTIONS: &str = "kith_connections";
pub const CONNECTIONS_REFUSED: &str = "kith_connections_refused_total";
pub const SOCKETS: &str = "kith_sockets";
pub const SUBSCRIPTIONS: &str = "kith_subscriptions";
pub const DELIVERIES: &str = "kith_deliveries_total";
pub const RESYNCS: &str = "kith_resyncs_total";
pub const GAPS_REPAIRED: &str = "kith_gaps_repaired_total";
pub const COMMITS: &str = "kith_commits_total";
pub const COMMIT_BATCH_SIZE: &str = "kith_commit_batch_size";
pub const BUS_DROPPED: &str = "kith_bus_dropped_total";
pub const RATE_LIMITED: &str = "kith_rate_limited_total";
pub const MAILS: &str = "kith_mails_total";
pub const BUS_HEALTHY: &str = "kith_bus_healthy";

const SECONDS: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Installs the recorder of this process when called first, and gives its handle. Tests run several servers in one
/// process: they share it.
pub fn install() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(OPERATION_SECONDS.into()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(COMMIT_BATCH_SIZE.into()), &BATCH_SIZES))
            .expect("there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        // Refused only when a program that embeds the library has its own recorder: then that one counts.
        if metrics::set_global_recorder(recorder).is_ok() {
            describe();
        }
        handle
    })
}

/// Moves what histograms have gathered into their buckets, now and then, so that it does not pile up where nobody looks
/// at `/metrics`.
pub async fn keep_up() {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        install().run_upkeep();
    }
}

fn describe() {
    describe_counter!(OPERATIONS, "Operations, by kind and outcome.");
    describe_histogram!(OPERATION_SECONDS, "Time to execute an operation, in seconds.");
    describe_gauge!(CONNECTIONS, "TCP connections that are open.");
    describe_counter!(CONNECTIONS_REFUSED, "Connections over the limit.");
    describe_gauge!(SOCKETS, "Sockets and event streams that are open.");
    describe_gauge!(SUBSCRIPTIONS, "Subscriptions that are open.");
    describe_counter!(DELIVERIES, "Events handed to subscribers.");
    describe_counter!(RESYNCS, "Times that a subscriber was told to start over.");
    describe_counter!(GAPS_REPAIRED, "Events that the bus did not bring and the log did.");
    describe_counter!(COMMITS, "Commits of the committer.");
    describe_histogram!(COMMIT_BATCH_SIZE, "Sends in one commit.");
    describe_counter!(MAILS, "Tries to send a mail, by outcome.");
    describe_gauge!(BUS_HEALTHY, "1 while events reach other processes.");
}

/// A connection that is open, until it is dropped.
pub struct OpenConnection(());

impl OpenConnection {
    pub fn count() -> Self {
        gauge!(CONNECTIONS).increment(1.0);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        gauge!(CONNECTIONS).decrement(1.0);
    }
}

/// How an operation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// Executed, and the answer has errors.
    Errors,
    /// Never executed.
    Refused,
}

/// The counters that every operation moves, looked up once.
pub struct OperationMeters {
    kinds: [KindMeters; 3],
    /// Refused by the guard or the parser.
    unknown: Counter,
}

struct KindMeters {
    ok: Counter,
    errors: Counter,
    refused: Counter,
    seconds: Histogram,
}

impl OperationMeters {
    /// Of this process's recorder, which is installed if it was not.
    pub fn find() -> Self {
        install();
        let outcome = |kind, outcome| counter!(OPERATIONS, "kind" => kind, "outcome" => outcome);
        let kinds = ["query", "mutation", "subscription"].map(|kind| KindMeters {
            ok: outcome(kind, "ok"),
            errors: outcome(kind, "errors"),
            refused: outcome(kind, "refused"),
            seconds: histogram!(OPERATION_SECONDS, "kind" => kind),
        });
        Self { kinds, unknown: outcome("unknown", "refused") }
    }

    pub fn executed(&self, kind: OperationType, outcome: Outcome, began: Instant) {
        self.count(kind, outcome);
        self.of(kind).seconds.record(began.elapsed());
    }

    pub fn count(&self, kind: OperationType, outcome: Outcome) {
        let meters = self.of(kind);
        match outcome {
            Outcome::Ok => meters.ok.increment(1),
            Outcome::Errors => meters.errors.increment(1),
            Outcome::Refused => meters.refused.increment(1),
        }
    }

    /// An operation that the guard or the parser refused.
    pub fn refused(&self) {
        self.unknown.increment(1);
    }

    fn of(&self, kind: OperationType) -> &KindMeters {
        match kind {
            OperationType::Query => &self.kinds[0],
            OperationType::Mutation => &self.kinds[1],
            OperationType::Subscription => &self.kinds[2],
        }
    }
}
