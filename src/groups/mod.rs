//! Groups: conversations of many, with a name.
//!
//! A group *is* a conversation; this slice has what a direct conversation lacks: members who come and go, and what
//! each may do. A group has exactly one **owner**, any number of **admins**, and **members**. Who has a right is
//! decided by [`access::judge`], which is pure:
//!
//! | verb | owner | admin | member |
//! | --- | --- | --- | --- |
//! | [`actions::update`] the name and description | yes | yes | no |
//! | invite people ([`crate::invites`]) | yes | yes | no |
//! | manage invite links | yes | yes | no |
//! | [`actions::remove`] | admins and members | members | no |
//! | [`actions::change_role`] | admins and members | gives up the own role | no |
//! | [`actions::transfer`] | to any other member | no | no |
//! | [`actions::delete`] | yes | no | no |
//! | [`actions::leave`] | no: hands over or deletes first, also when alone | yes | yes |
//!
//! Members without a right are refused with `FORBIDDEN`, everybody else with `NOT_FOUND`, as if there were no such
//! group.
//!
//! **Every verb takes the row lock of the conversation first** and judges what it finds then, so that verbs of several
//! processes happen one after the other: a group is never without its owner and never has two. The same lock orders
//! them with sends, so a removal is final for what is on its way.
//!
//! There is one way in, [`actions::add_member`], whoever opened the door. A member sees the whole history, and starts
//! to count unread messages from where the group is when they join. There are two ways out, alone (left or removed)
//! and together (deleted). Each is an event with a position, at which delivery ends exactly.
//!
//! | event | when |
//! | --- | --- |
//! | `ConversationJoined`, to who comes | created, joined |
//! | `MemberChanged` | joined, another role |
//! | `MemberRemoved`, and `ConversationRemoved` to who goes | left, removed |
//! | `ConversationChanged` | another name or description |
//! | `ConversationDeleted`, and `ConversationRemoved` to each | deleted |
//!
//! Who has blocked somebody can still be in a group with them: a group is its members' common ground, and a block
//! says nothing about the others in it.
//!
//! A deleted group has no members from the commit on. What was said in it is purged in the background ([`purge`]); its
//! row stays, as a number for those who still have to hear of its end.

pub mod access;
pub mod actions;
pub mod graphql;
pub mod purge;
mod store;
pub mod types;

#[cfg(test)]
mod tests;
