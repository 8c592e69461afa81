//! The task that sends what waits in the outbox.

use std::{sync::Arc, time::Duration};

use entity::mail;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{Mail, letters, outbox, transport::Trouble};
use crate::{accounts, app::App, error::Error, invites, server::metrics};

/// Mails under way at once.
const AT_ONCE: usize = 8;
/// How often to look for what other processes queued, or left behind.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long to leave to another process what it is taking.
const TAKING_INTERVAL: Duration = Duration::from_millis(50);
/// How long after it was taken a mail is given to another, should its sender not come back.
const LEASE_SECONDS: i64 = 120;
/// How long looking up and sending one may take; far below the lease.
const SEND_LIMIT: Duration = Duration::from_secs(45);
/// How often the deletion of a sent mail is tried, a second apart, while the database is away; within the lease.
const DELETE_TRIES: usize = 60;
/// Longest wait between two tries.
const MAX_WAIT_SECONDS: i64 = 600;
/// When a mail that was refused for good is given up: a full mailbox or a mistake at the other end may be mended.
const REFUSED_SECONDS: i64 = 6 * 3600;
/// When any mail is given up.
const FAILED_SECONDS: i64 = 3 * 86_400;

/// Sends until told to stop; what is under way then is finished.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    app.mails.transport.announce();
    // So that a database that is away is one line in the log and not one each round.
    let mut well = true;
    while !stop.is_cancelled() {
        let wait = match send_due(&app).await {
            Ok(wait) => {
                well = true;
                wait
            }
            Err(error) => {
                if well {
                    tracing::warn!(cause = error.cause(), "mails cannot be taken from the outbox for a moment");
                    well = false;
                }
                LOOK_INTERVAL
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.mails.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Sends some of what is due, and says how long nothing more will be.
async fn send_due(app: &App) -> Result<Duration, Error> {
    let now = app.clock.now();
    match outbox::next_due(&app.db, now).await? {
        None => return Ok(LOOK_INTERVAL),
        Some(0) => {}
        Some(wait) => return Ok(Duration::from_millis(wait).min(LOOK_INTERVAL)),
    }
    let rows = outbox::take(&app.db, AT_ONCE, LEASE_SECONDS, now).await?;
    if rows.is_empty() {
        // Another process is taking them this very moment.
        return Ok(TAKING_INTERVAL);
    }
    join_all(rows.into_iter().map(|row| deal_with(app, row))).await;
    Ok(Duration::ZERO)
}

/// What becomes of a try.
enum Fate {
    Sent,
    Pointless,
    /// With a cause that names no address.
    Failed(Trouble),
}

async fn deal_with(app: &App, row: mail::Model) {
    let fate = match tokio::time::timeout(SEND_LIMIT, try_to_send(app, &row)).await {
        Ok(fate) => fate,
        Err(_) => Fate::Failed(Trouble::passing("it took too long")),
    };
    let id = row.id.0;
    match fate {
        Fate::Sent => {
            count("sent");
            tracing::debug!(%id, "a mail was sent");
            delete(app, &row).await;
        }
        Fate::Pointless => {
            count("pointless");
            delete(app, &row).await;
        }
        Fate::Failed(trouble) => {
            let age_seconds = (app.clock.now().0 - row.queued_at.0) / 1000;
            if is_hopeless(&trouble, age_seconds) {
                count("given_up");
                tracing::error!(%id, cause = trouble.cause, attempts = row.attempts + 1, "a mail was given up");
                return delete(app, &row).await;
            }
            count("failed");
            let wait_seconds = wait_seconds(row.attempts);
            tracing::warn!(%id, cause = trouble.cause, wait_seconds, "a mail was not sent; it is tried again");
            if let Err(error) = outbox::put_back(&app.db, &row, wait_seconds, app.clock.now()).await {
                // Then it is due when its lease ends.
                tracing::warn!(%id, cause = error.cause(), "a mail could not be put back into the outbox");
            }
        }
    }
}

async fn try_to_send(app: &App, row: &mail::Model) -> Fate {
    let letter = match write(app, row).await {
        Ok(Some(letter)) => letter,
        Ok(None) => return Fate::Pointless,
        Err(error) => return Fate::Failed(Trouble::passing(error.cause().unwrap_or("it cannot be written"))),
    };
    let (recipient, letter) = letter;
    match app.mails.transport.send(row.id, &recipient, letter).await {
        Ok(()) => Fate::Sent,
        Err(trouble) => Fate::Failed(trouble),
    }
}

/// A mail's recipient and letter, as things are now; nothing when it has become pointless.
async fn write(app: &App, row: &mail::Model) -> Result<Option<(String, letters::Letter)>, Error> {
    // A process of another version may have queued it: then one of that version sends it.
    let mail: Mail = serde_json::from_str(&row.content).map_err(|_| Error::internal("it is of an unknown kind"))?;
    let (recipient, mail) = match mail {
        Mail::PasswordResetRequested => match accounts::recovery::answer_request(app, row).await? {
            Some(answer) => answer,
            None => return Ok(None),
        },
        mail => (row.recipient.clone(), mail),
    };
    let config = &app.config.mail;
    let letter = match mail {
        Mail::VerifyEmail { username, token } => letters::verify_email(config, &username, &token)?,
        Mail::PasswordResetRequested => return Err(Error::internal("a request was answered with a request")),
        Mail::PasswordReset { username, token } => letters::password_reset(config, &username, &token)?,
        Mail::PasswordChanged { username } => letters::password_changed(&username)?,
        Mail::Invite { invite_id, token } => {
            let Some(invitation) = invites::access::to_mail(app, invite_id, &row.recipient).await? else {
                return Ok(None);
            };
            letters::invite(config, &invitation, &token)?
        }
    };
    Ok(Some((recipient, letter)))
}

/// Deletes a mail that needs no more tries, stubbornly: as long as it is there it may be sent again.
async fn delete(app: &App, row: &mail::Model) {
    for _ in 0..DELETE_TRIES {
        match outbox::delete(&app.db, row.id).await {
            Ok(()) => return,
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    tracing::error!(id = %row.id.0, "a mail could not be deleted from the outbox; it may be sent once more");
}

fn count(outcome: &'static str) {
    ::metrics::counter!(metrics::MAILS, "outcome" => outcome).increment(1);
}

/// Whether to stop trying.
fn is_hopeless(trouble: &Trouble, age_seconds: i64) -> bool {
    age_seconds >= if trouble.for_good { REFUSED_SECONDS } else { FAILED_SECONDS }
}

/// How long to wait after one more failure than `attempts`.
fn wait_seconds(attempts: i32) -> i64 {
    let exponent = u32::try_from(attempts.clamp(0, 20)).unwrap_or(0) + 1;
    2i64.pow(exponent).min(MAX_WAIT_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_minutes() {
        let waits: Vec<i64> = (0..12).map(wait_seconds).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]);
        assert_eq!((wait_seconds(-1), wait_seconds(i32::MAX)), (2, 600));
    }

    #[test]
    fn what_was_refused_for_good_is_given_up_before_what_failed() {
        let (refused, failed) = (Trouble { for_good: true, ..Trouble::passing("no") }, Trouble::passing("no"));
        for (trouble, age_seconds, hopeless) in [
            (&refused, 0, false),
            (&refused, 21_599, false),
            (&refused, 21_600, true),
            (&failed, 21_600, false),
            (&failed, 259_199, false),
            (&failed, 259_200, true),
            // Of a clock that was put back.
            (&failed, -10, false),
        ] {
            assert_eq!(is_hopeless(trouble, age_seconds), hopeless, "{trouble:?} after {age_seconds} s");
        }
    }
}
