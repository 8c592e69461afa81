//! friends

pub mod graphql;
