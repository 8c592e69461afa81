//! conversations

pub mod graphql;

/// Most members of a group; `server.limits.maxGroupMembers`.
pub const MAX_GROUP_MEMBERS: i32 = 5000;
