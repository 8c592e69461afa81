//! The public half of a person.

pub mod graphql;
pub mod types;
