//! Kith: messaging between people who know each other, as one GraphQL API.
//!
//! ARCHITECTURE.md is the map.

pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod delivery;
pub mod error;
pub mod events;
pub mod graphql;
pub mod mails;
pub mod rate_limits;
pub mod redis;
pub mod server;

pub mod accounts;
pub mod conversations;
pub mod friends;
pub mod groups;
pub mod invite_links;
pub mod invites;
pub mod messages;
pub mod presence;
pub mod typing;
pub mod users;
