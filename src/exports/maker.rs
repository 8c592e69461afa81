//! The background task that makes exports and takes them away.

use std::{sync::Arc, time::Duration};

use entity::{Timestamp, data_export};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    LIFE_SECONDS,
    archive::{self, Archive},
    store,
};
use crate::{app::App, error::Error};

/// How often to look for what other processes left, or were asked for while they could not.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a claim holds; each part prolongs it.
const CLAIM_SECONDS: i64 = 20;
/// How often an export is begun before it is given up.
const MAX_ATTEMPTS: i32 = 5;
/// Exports that one pass takes away.
const SWEEP_BATCH: u64 = 100;
/// Days that the row of an export is kept which is over.
const KEPT_DAYS: i64 = 30;

/// Makes what is asked for, one at a time, until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let work = async {
        loop {
            if let Err(error) = pass(&app).await {
                tracing::warn!(cause = error.cause(), "exports cannot be made now; tried again in some seconds");
            }
            // Nobody waits for the interval: it is for what others left.
            let _ = tokio::time::timeout(INTERVAL, app.exports.wake.notified()).await;
        }
    };
    // Cut off in the middle, a claim runs out by itself.
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn pass(app: &App) -> Result<(), Error> {
    sweep(app).await?;
    while let Some((export, claim)) = claim_next(app).await? {
        match make(app, &export, claim).await {
            Ok(()) => tracing::info!(export_id = %export.id.0, "an export was made"),
            Err(Interrupted::Lost) => tracing::info!(export_id = %export.id.0, "an export is gone or another's now"),
            // It is tried again when the claim has run out.
            Err(Interrupted::Fault(error)) => {
                tracing::warn!(export_id = %export.id.0, cause = error.cause(), "an export could not be made");
            }
        }
    }
    Ok(())
}

/// Takes the next export that is nobody's, and gives up those that were tried too often.
async fn claim_next(app: &App) -> Result<Option<(data_export::Model, Uuid)>, Error> {
    loop {
        let now = app.clock.now();
        // So that an idle process does not take the writer.
        if !store::has_due(&app.db, now).await? {
            return Ok(None);
        }
        let tx = app.db.begin().await?;
        let Some(export) = store::lock_due(&tx, now).await? else { return Ok(None) };
        if export.attempts >= MAX_ATTEMPTS {
            store::fail(&tx, export.id).await?;
            tx.commit().await?;
            tracing::error!(export_id = %export.id.0, "an export was given up");
            continue;
        }
        let claim: Uuid = app.clock.new_id();
        store::claim(&tx, export.id, claim, claim_end(now)).await?;
        tx.commit().await?;
        return Ok(Some((export, claim)));
    }
}

fn claim_end(now: Timestamp) -> Timestamp {
    now.plus_seconds(CLAIM_SECONDS)
}

async fn make(app: &App, export: &data_export::Model, claim: Uuid) -> Result<(), Interrupted> {
    let mut archive = Archive::new(Parts { app, export, claim, n: 0, n_bytes: 0 });
    archive::write(app, export, &mut archive).await?;
    let parts = archive.finish().await?;
    let now = app.clock.now();
    let tx = app.db.begin().await?;
    if !store::complete(&tx, export.id, claim, parts.n_bytes, now.plus_seconds(LIFE_SECONDS)).await? {
        return Err(Interrupted::Lost);
    }
    tx.commit().await.map_err(Error::from)?;
    Ok(())
}

/// Why an export was not finished.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// It was deleted, or the claim ran out and another makes it.
    Lost,
    Fault(Error),
}

impl From<Error> for Interrupted {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl From<sea_orm::DbErr> for Interrupted {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Fault(error.into())
    }
}

/// Where an archive goes.
pub(super) struct Parts<'a> {
    app: &'a App,
    export: &'a data_export::Model,
    claim: Uuid,
    n: i32,
    n_bytes: i64,
}

impl Parts<'_> {
    /// Writes the next part, if the claim is still held.
    pub(super) async fn write(&mut self, data: Vec<u8>) -> Result<(), Interrupted> {
        let n_bytes = data.len() as i64;
        let tx = self.app.db.begin().await?;
        let until = claim_end(self.app.clock.now());
        if !store::prolong(&tx, self.export.id, self.claim, until).await? {
            return Err(Interrupted::Lost);
        }
        store::insert_part(&tx, self.export.id, self.n, data).await?;
        tx.commit().await?;
        self.n += 1;
        self.n_bytes += n_bytes;
        Ok(())
    }
}

/// Deletes exports whose time is over.
async fn sweep(app: &App) -> Result<(), Error> {
    let now = app.clock.now();
    let expired = store::expired(&app.db, now, SWEEP_BATCH).await?;
    if expired.is_empty() {
        return Ok(());
    }
    for id in expired {
        let tx = app.db.begin().await?;
        store::expire(&tx, id).await?;
        tx.commit().await?;
    }
    let tx = app.db.begin().await?;
    store::delete_requested_before(&tx, now.plus_seconds(-KEPT_DAYS * 86_400)).await?;
    tx.commit().await?;
    Ok(())
}
