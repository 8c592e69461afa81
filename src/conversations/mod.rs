//! conversations: PLACEHOLDER of the people slice, to be replaced by the lead's.

pub mod actions;
pub mod graphql;
