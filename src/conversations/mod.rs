//! conversations

pub mod graphql;
