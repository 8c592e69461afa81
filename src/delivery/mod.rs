//! From an event to the sockets of those who hear it.

pub mod outbox;
