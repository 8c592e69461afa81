//! users

pub mod graphql;
