//! accounts

pub mod graphql;
