//! invites

pub mod graphql;
