//! Invites: the one way in which people who do not know each other here come to talk.
//!
//! One model serves three kinds: to be friends, into a group, by email. An invite is **pending** until it is accepted,
//! rejected, revoked or expired; that it has expired is seen when it is read. A pending invite holds a **slot** (for a
//! friend invite, the pair of people; for one into a group, the group and the invitee), which is unique: of two that
//! want the same slot the database lets one in. Invites to be friends that cross make friends. An invite into a group
//! is revoked when its sender may no longer invite, and when the group is deleted. An invite to somebody who has blocked the inviter is **hidden**: the inviter sees
//! it pending, the invitee does not see it, and nothing tells the two cases apart.
//!
//! | verb | who | who hears `InviteChanged` |
//! | --- | --- | --- |
//! | [`actions::send_to_friend`] | anybody | inviter, invitee |
//! | [`actions::send_to_group`] | the owner and admins of the group | inviter, invitee |
//! | [`actions::send_by_email`] | anybody; into a group, its owner and admins | inviter |
//! | [`actions::claim`] | who holds the token | inviter, invitee |
//! | [`actions::accept`] | the invitee | inviter, invitee; and `FriendshipChanged`, or the group's, and the conversation's events |
//! | [`actions::reject`] | the invitee | inviter, invitee |
//! | [`actions::revoke`] | the inviter | inviter, invitee |
//!
//! | [`actions::forget`] | who deletes their account | the other side |
//!
//! The invitee of a hidden invite hears nothing of it, and nothing of its being hidden: they have just blocked the inviter.
//! Of one that is shown again, at the end of the block, the invitee alone hears.
//!
//! An **email invite** is to a mailbox: it has no invitee until somebody **claims** it with the token that was mailed, and
//! is like any other from then on. Whether the address has an account is never looked at before the answer; so the inviter
//! is told the same in any case, and may well invite a friend in this way. Its slot is inviter, address and group. Accepted,
//! it makes friends of the two, if they are not yet, and lets the invitee into the group, if one was named and the inviter
//! may still invite into it.
//!
//! | rule | where |
//! | --- | --- |
//! | What becomes of an invite | [`types::next`] |
//! | What becomes of a send | [`types::judge_send`], [`types::judge_group_send`] |
//! | Who may invite into a group | [`crate::groups::access::may_invite`] |
//! | Who sees an invite | [`access::visible_invite`] |
//! | Who may claim one | [`access::claimable`], [`actions::bind`] |
//! | Whether it is mailed | [`access::to_mail`] |

pub mod access;
pub mod actions;
pub mod graphql;
pub mod store;
pub mod types;

#[cfg(test)]
mod tests;

/// Life of an invite into a group.
pub const GROUP_INVITE_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Life of a friend invite.
pub const FRIEND_INVITE_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Life of an invite by email.
pub const EMAIL_INVITE_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Most pending invites that one person may have out.
pub const MAX_PENDING: u64 = 100;
