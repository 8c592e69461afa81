//! From an event to the sockets of those who hear it.
//!
//! The [`hub::Hub`] keeps one [`topic::Topic`] for each conversation or person that somebody here listens to. A topic
//! holds position n and delivers n + 1 next, or reads the gap from the event log. Its listeners sit in groups:
//! subscribers with the same document and variables, whose fields do not depend on the viewer, share one execution
//! and one encoded payload ([`sharing`]); the others have an execution each.
//!
//! A stream registers first and then reads what it missed: its seat is muted while it reads the log, and is let to
//! speak when it has caught up with the topic ([`subscribe`]). The [`reconcile`] task compares topics with the log, so
//! that nothing that a bus loses stays lost.

pub mod cursor;
pub mod feed;
pub mod graphql;
pub mod hub;
pub mod operation;
pub mod outbox;
pub mod reconcile;
pub mod sharing;
pub mod streams;
pub mod subscribe;
pub mod topic;
mod typists;

pub use hub::Hub;
pub use streams::Streams;
pub use subscribe::{Subscription, subscribe};
