//! Mails: queued by verbs, sent by a task of their own.
//!
//! A verb [`queue`]s a [`Mail`] in its own transaction: the mail is as durable as the change that it tells of, and no
//! mail server can slow the verb or undo it. After the commit the [`sender`] is woken. It takes what is due under a
//! lease (`FOR UPDATE SKIP LOCKED`, so that several processes never take the same), writes the [`letters`], hands them to
//! the [`transport`] outside of any transaction, and deletes the row, and what it says of people with it.
//!
//! | when | then |
//! | --- | --- |
//! | the server took it | the row is deleted |
//! | it failed in any way | tried again after 2, 4, 8 … s, at most 10 min |
//! | it was refused for good for six hours, or failed for three days | given up: counted, logged, deleted |
//! | it has become pointless (see [`Mail`]) | deleted without a word |
//! | the process was killed | tried again, by any process, when the lease has ended |
//!
//! So a mail is sent at least once. Twice only where a process dies, or loses the database for minutes, between the
//! server's "250" and the deletion; both then carry the same `Message-ID`. (ADR 0014)

pub mod letters;
mod outbox;
mod sender;
mod transport;

use entity::{InviteId, MailId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use sender::run;

use self::transport::Transport;
use crate::{config::MailConfig, error::Error, events::Transaction};

/// All that is ever mailed. What the letter says beyond it is looked up when it is sent, so that the verb behind it does
/// the same whether or not there is anything to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mail {
    /// To the address of a new account: is it yours?
    VerifyEmail { username: String, token: String },
    /// Somebody asked for a new password for the recipient's account. Pointless unless an account has verified the
    /// address; else it becomes a [`Mail::PasswordReset`] when it is sent.
    PasswordResetRequested,
    /// The way to a new password.
    PasswordReset { username: String, token: String },
    /// To the verified address of an account whose password is another now.
    PasswordChanged { username: String },
    /// Pointless once the invite is not pending any more, and for who has blocked the inviter.
    Invite { invite_id: InviteId, token: String },
}

/// Queues a mail, to be sent after the verb's commit.
pub async fn queue(tx: &mut Transaction<'_>, recipient: &str, mail: &Mail) -> Result<(), Error> {
    let app = tx.app();
    outbox::insert(tx.db(), app.clock.new_id(), recipient, mail, app.clock.now()).await?;
    tx.wake_mails();
    Ok(())
}

/// Makes another mail of one that is being sent, before it is.
pub async fn replace(tx: &Transaction<'_>, id: MailId, recipient: &str, mail: &Mail) -> Result<(), Error> {
    outbox::replace(tx.db(), id, recipient, mail).await
}

/// How mails leave this process.
pub struct Mails {
    transport: Transport,
    /// Something was queued here.
    wake: Notify,
}

impl Mails {
    /// Fails with a sentence for the operator.
    pub fn new(config: &MailConfig) -> Result<Self, Error> {
        Ok(Self { transport: Transport::new(config)?, wake: Notify::new() })
    }

    /// For [`Transaction`], after a commit.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}
