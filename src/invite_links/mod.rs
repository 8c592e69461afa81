//! Invite links: reusable, revocable ways into a group.
//!
//! A link's **code** is 128 bits from the system's random source. Only its hash is stored, and the code is shown once,
//! to who makes it (ADR 0013). A link is **alive** until it is revoked, expires, is used up, or its group is deleted;
//! what is no longer alive is not there for anybody: one refusal, `INVALID_TOKEN`, by the same one statement, for a
//! code that was never given out and for one that is over.
//!
//! | verb | who |
//! | --- | --- |
//! | [`actions::create`], [`actions::revoke`], see the links of a group | its owner and admins |
//! | [`access::by_code`]: see name, description and number of members | who holds the code; counts nothing |
//! | [`actions::join`] | who holds the code |
//!
//! Uses are counted in the transaction that joins, under the group's row lock: of many who join at once on the last
//! use one gets in. Who is in the group already uses nothing up.
//!
//! A link belongs to the group and not to who made it: it goes on when they lose the right to make one. The owner and
//! the admins see all links that are alive, and can revoke each.
//!
//! Joining raises the events of [`crate::groups::actions::let_in_by_link`]; the links themselves raise none.

pub mod access;
pub mod actions;
pub mod graphql;
pub mod store;
pub mod types;

#[cfg(test)]
mod tests;

/// Most links of one group that are alive.
pub const MAX_LIVE: u64 = 50;

/// How long a link that is over is kept.
pub const KEPT_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Most uses that a link can be limited to.
pub const MAX_USES: i32 = 10_000;
