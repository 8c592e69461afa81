//! Friendships and blocks.
//!
//! A **friendship** is two rows, one for each side; it is made by an accepted invite and by nothing else. It holds the
//! direct conversation of the two open: when it ends, the conversation closes. A **block** belongs to one side and
//! hides what the other side sends; the other side is never told.
//!
//! | verb | writes | who hears |
//! | --- | --- | --- |
//! | [`actions::befriend`] | two friendship rows | `FriendshipChanged` to both |
//! | [`actions::remove`] | deletes both, closes the conversation | `FriendshipChanged` to both |
//! | [`actions::block`] | the same if they were friends; revokes the own invite, hides theirs | `FriendshipChanged` to the blocker; to the other only if they were friends, as by `remove` |
//! | [`actions::tell_of_new_name`] | nothing | `FriendshipChanged` to all friends and the person themselves |
//! | [`actions::unblock`] | deletes the block | `FriendshipChanged` to the blocker |
//!
//! Whatever changes how two people stand to each other first takes the lock of their [`types::Pair`], so that an
//! acceptance, a crossing invite and a block of the same two come one after the other, and no two of them deadlock.

pub mod actions;
pub mod graphql;
pub mod store;
pub mod types;
