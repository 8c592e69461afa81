//! Stories about Kith, told at its promised interface: a real server, real HTTP, real sockets, real databases.
//!
//! `make test` runs them all, with a PostgreSQL and a Redis of their own. The language is in [`support`].

mod support;

mod access;
mod account_life;
mod constant_cost;
mod durability;
mod friends;
mod front_door;
mod guard;
mod inputs;
mod liveness;
mod messages;
mod migrations;
mod npm_clients;
mod processes;
mod resume;
mod schema;
mod sessions;
mod sockets;
