//! Stories about Kith, told at its promised interface: a real server, real HTTP, real sockets, real databases.
//!
//! `make test` runs them all, with a PostgreSQL and a Redis of their own. The language is in [`support`].

mod access;
mod account_life;
mod accounts;
mod browser;
mod compatibility;
mod constant_cost;
mod durability;
mod email_invites;
mod federation;
mod friends;
mod front_door;
mod groups;
mod guard;
mod inputs;
mod limits;
mod liveness;
mod mails;
mod messages;
mod migrations;
mod npm_clients;
mod operations;
mod persisted;
mod presence;
mod processes;
mod reactions;
mod receipts;
mod resume;
mod roles;
mod schema;
mod search;
mod sessions;
mod snapshots;
mod sockets;
mod support;
mod typing;
