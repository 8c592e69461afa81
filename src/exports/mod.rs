//! Data exports: an archive of what is somebody's own, as one JSON document.
//!
//! An **export** is asked for, is **pending** until a background task of some process has made it, is **ready** for a
//! day, and is then deleted. It is made in **parts**, so that nobody ever holds it whole, under a **claim** that must be
//! prolonged: a process that dies leaves its claim to run out, and another begins anew. A part is written in one
//! transaction with the prolonging of the claim, so that of two who believe to have it one writes.
//!
//! | rule | where |
//! | --- | --- |
//! | What is in it, and what of others is not | [`archive`] |
//! | Who makes it, and when that failed | [`maker`] |
//! | Who may fetch it: the bearer of a signed link, for some minutes | [`links`] |
//! | One that is pending for each person | [`actions::request`] |
//!
//! Raises no events: ask `viewer.dataExport` again.

pub mod actions;
mod archive;
pub mod graphql;
pub mod http;
pub mod links;
pub mod maker;
mod store;
pub mod types;

use tokio::sync::Notify;

use self::links::Links;

/// How long a ready export is kept.
pub const LIFE_SECONDS: i64 = 24 * 60 * 60;

/// How long the address of an export works. A new one can be had as long as the export is there.
pub const LINK_SECONDS: i64 = 15 * 60;

/// What a process needs for exports.
pub struct Exports {
    /// Signs and checks addresses.
    pub links: Links,
    /// Wakes the maker when there is something to make.
    pub(crate) wake: Notify,
}

impl Exports {
    pub fn new(secret: &[u8]) -> Self {
        Self { links: Links::new(secret), wake: Notify::new() }
    }
}
