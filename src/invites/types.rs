//! Notes, and the state machine of an invite: pure, so that tables test it.

use async_graphql::Enum;
use entity::{
    UserId,
    invite::{Kind, Status},
};
use unicode_normalization::UnicodeNormalization;

use crate::error::{Refusal, UserErrorCode};

/// What an invite is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
pub enum InviteKind {
    /// To be friends; acceptance opens a direct conversation.
    Friend,
    /// To join a group.
    Group,
    /// By email to an address that may have no account yet.
    Email,
}

impl From<Kind> for InviteKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Friend => Self::Friend,
            Kind::Group => Self::Group,
            Kind::Email => Self::Email,
        }
    }
}

impl From<InviteKind> for Kind {
    fn from(kind: InviteKind) -> Self {
        match kind {
            InviteKind::Friend => Self::Friend,
            InviteKind::Group => Self::Group,
            InviteKind::Email => Self::Email,
        }
    }
}

/// Where an invite is in its life. Only a pending one can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
pub enum InviteStatus {
    /// Waits for the invitee's answer.
    Pending,
    /// The invitee said yes.
    Accepted,
    /// The invitee said no.
    Rejected,
    /// Nobody answered in time; `expiresAt` has passed.
    Expired,
    /// The inviter took it back.
    Revoked,
}

impl InviteStatus {
    /// The status of an invite that is stored as `stored`, and whose time is over or not.
    pub fn of(stored: Status, expired: bool) -> Self {
        match (stored, expired) {
            (Status::Pending, false) => Self::Pending,
            (Status::Pending, true) | (Status::Expired, _) => Self::Expired,
            (Status::Accepted, _) => Self::Accepted,
            (Status::Rejected, _) => Self::Rejected,
            (Status::Revoked, _) => Self::Revoked,
        }
    }
}

/// Whether an invite comes to the viewer or goes out from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
pub enum InviteDirection {
    /// Others invite the viewer.
    Incoming,
    /// The viewer invites others.
    Outgoing,
}

/// Which side of an invite somebody is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Inviter,
    Invitee,
}

/// What the two can do with a pending invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accept,
    Reject,
    Revoke,
}

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswerable {
    /// It is the other side's to do this.
    OtherSide(Answer),
    NotPending(InviteStatus),
}

/// What an answer makes of an invite.
pub fn next(status: InviteStatus, role: Role, answer: Answer) -> Result<Status, Unanswerable> {
    let answered = match (role, answer) {
        (Role::Invitee, Answer::Accept) => Status::Accepted,
        (Role::Invitee, Answer::Reject) => Status::Rejected,
        (Role::Inviter, Answer::Revoke) => Status::Revoked,
        (Role::Inviter, Answer::Accept | Answer::Reject) | (Role::Invitee, Answer::Revoke) => {
            return Err(Unanswerable::OtherSide(answer));
        }
    };
    match status {
        InviteStatus::Pending => Ok(answered),
        InviteStatus::Accepted | InviteStatus::Rejected | InviteStatus::Expired | InviteStatus::Revoked => {
            Err(Unanswerable::NotPending(status))
        }
    }
}

impl From<Unanswerable> for Refusal {
    fn from(unanswerable: Unanswerable) -> Self {
        let (code, message) = match unanswerable {
            Unanswerable::OtherSide(Answer::Accept) => (UserErrorCode::Forbidden, "Only the invitee can accept it."),
            Unanswerable::OtherSide(Answer::Reject) => {
                (UserErrorCode::Forbidden, "Only the invitee can reject it. You can revoke it.")
            }
            Unanswerable::OtherSide(Answer::Revoke) => {
                (UserErrorCode::Forbidden, "Only the inviter can revoke it. You can reject it.")
            }
            Unanswerable::NotPending(status) => (
                UserErrorCode::InviteNotPending,
                match status {
                    InviteStatus::Accepted => "This invite was accepted already.",
                    InviteStatus::Rejected => "This invite was rejected.",
                    InviteStatus::Revoked => "This invite was revoked.",
                    InviteStatus::Expired => "This invite has expired.",
                    InviteStatus::Pending => "This invite was answered at the same moment.",
                },
            ),
        };
        Refusal::new(code, message).of_field("inviteId")
    }
}

/// What is known of the viewer and the person to invite, for [`judge_send`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFacts {
    /// The viewer has blocked them.
    pub blocked_by_viewer: bool,
    /// They have blocked the viewer, who must not learn of it.
    pub blocked_by_other: bool,
    pub friends: bool,
    /// The invite that holds the slot of the two.
    pub holder: Option<Holder>,
}

/// The invite that holds the slot of two people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The side that the viewer is on.
    pub viewer_is: Role,
    pub expired: bool,
}

/// What becomes of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendDecision {
    /// A new invite.
    Make { hidden: bool },
    /// A new invite, after the expired one has given up the slot.
    Replace { hidden: bool },
    /// The other's invite was on its way: the two want the same.
    Accept,
}

/// Why an invite is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    BlockedByViewer,
    AlreadyFriends,
    AlreadyInvited,
    AlreadyMember,
}

pub fn judge_send(facts: SendFacts) -> Result<SendDecision, Unsendable> {
    if facts.blocked_by_viewer {
        return Err(Unsendable::BlockedByViewer);
    }
    if facts.friends {
        return Err(Unsendable::AlreadyFriends);
    }
    let hidden = facts.blocked_by_other;
    match facts.holder {
        None => Ok(SendDecision::Make { hidden }),
        Some(Holder { expired: true, viewer_is: Role::Inviter | Role::Invitee }) => {
            Ok(SendDecision::Replace { hidden })
        }
        Some(Holder { expired: false, viewer_is: Role::Inviter }) => Err(Unsendable::AlreadyInvited),
        // Who has blocked the viewer has revoked their invite with it. Were one left, it could not be accepted.
        Some(Holder { expired: false, viewer_is: Role::Invitee }) if hidden => Err(Unsendable::AlreadyInvited),
        Some(Holder { expired: false, viewer_is: Role::Invitee }) => Ok(SendDecision::Accept),
    }
}

/// What is known of the person to invite into a group, for [`judge_group_send`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSendFacts {
    /// The viewer has blocked them.
    pub blocked_by_viewer: bool,
    /// They have blocked the viewer, who must not learn of it.
    pub blocked_by_other: bool,
    pub member: bool,
    /// Whether an invite of them into this group that they see, by anybody, holds the slot; and whether it has expired.
    pub holder_expired: Option<bool>,
    /// The same of an invite by the viewer that is hidden from them. Those of others say nothing to the viewer.
    pub own_hidden_expired: Option<bool>,
}

/// What becomes of an invite into a group, whose right to invite is settled.
pub fn judge_group_send(facts: GroupSendFacts) -> Result<SendDecision, Unsendable> {
    if facts.member {
        return Err(Unsendable::AlreadyMember);
    }
    if facts.blocked_by_viewer {
        return Err(Unsendable::BlockedByViewer);
    }
    let hidden = facts.blocked_by_other;
    match (facts.holder_expired, facts.own_hidden_expired) {
        (None, None) => Ok(SendDecision::Make { hidden }),
        (Some(false), _) | (_, Some(false)) => Err(Unsendable::AlreadyInvited),
        (Some(true), _) | (_, Some(true)) => Ok(SendDecision::Replace { hidden }),
    }
}

impl Unsendable {
    /// For the person at the keyboard; `kind` is the field of the input that names the kind of invite.
    pub fn refusal(self, kind: &str) -> Refusal {
        Refusal::from(self).of_path(&[kind, "username"])
    }
}

impl From<Unsendable> for Refusal {
    fn from(unsendable: Unsendable) -> Self {
        let (code, message) = match unsendable {
            Unsendable::BlockedByViewer => {
                (UserErrorCode::Forbidden, "You have blocked this person. Unblock them first.")
            }
            Unsendable::AlreadyFriends => (UserErrorCode::AlreadyFriends, "You are friends already."),
            Unsendable::AlreadyInvited => (UserErrorCode::AlreadyInvited, "An invite to this person is pending."),
            Unsendable::AlreadyMember => (UserErrorCode::AlreadyMember, "This person is in the group already."),
        };
        Refusal::new(code, message)
    }
}

/// Which of the invites into a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    All,
    By(UserId),
    To(UserId),
}

/// Some words with an invite: 1–500 characters in NFC, no control characters but line breaks and tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

impl Note {
    pub const MAX_LENGTH: usize = 500;

    /// Reads a note; none, when there is nothing but space. The failure is one sentence for the person at the keyboard.
    pub fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        const LENGTH: &str = "A note has at most 500 characters.";
        // What is longer need not be normalised.
        if text.len() > 16 * Self::MAX_LENGTH {
            return Err(LENGTH);
        }
        let note: String = text.trim().nfc().collect();
        if note.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err("A note has no control characters.");
        }
        if note.chars().count() > Self::MAX_LENGTH {
            return Err(LENGTH);
        }
        Ok((!note.is_empty()).then_some(Self(note)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: [Status; 5] = [Status::Pending, Status::Accepted, Status::Rejected, Status::Revoked, Status::Expired];

    #[test]
    fn time_ends_only_what_is_pending() {
        for stored in STORED {
            let (in_time, late) = (InviteStatus::of(stored, false), InviteStatus::of(stored, true));
            if stored == Status::Pending {
                assert_eq!((in_time, late), (InviteStatus::Pending, InviteStatus::Expired));
            } else {
                assert_eq!(in_time, late, "{stored:?}");
                assert_ne!(in_time, InviteStatus::Pending, "{stored:?}");
            }
        }
    }

    #[test]
    fn each_side_has_its_answers_and_only_while_pending() {
        for stored in STORED {
            for expired in [false, true] {
                let status = InviteStatus::of(stored, expired);
                for (role, answer, becomes) in [
                    (Role::Inviter, Answer::Accept, None),
                    (Role::Inviter, Answer::Reject, None),
                    (Role::Inviter, Answer::Revoke, Some(Status::Revoked)),
                    (Role::Invitee, Answer::Accept, Some(Status::Accepted)),
                    (Role::Invitee, Answer::Reject, Some(Status::Rejected)),
                    (Role::Invitee, Answer::Revoke, None),
                ] {
                    let expected = match becomes {
                        None => Err(Unanswerable::OtherSide(answer)),
                        Some(next) if stored == Status::Pending && !expired => Ok(next),
                        Some(_) => Err(Unanswerable::NotPending(status)),
                    };
                    assert_eq!(next(status, role, answer), expected, "{stored:?} {expired} {role:?} {answer:?}");
                }
            }
        }
    }

    #[test]
    fn a_send_is_judged_by_what_is_between_the_two() {
        let none = SendFacts::default();
        let holder = |viewer_is, expired| Some(Holder { viewer_is, expired });
        let make = |hidden| Ok(SendDecision::Make { hidden });
        let replace = |hidden| Ok(SendDecision::Replace { hidden });
        for (facts, decision) in [
            (none, make(false)),
            (SendFacts { blocked_by_other: true, ..none }, make(true)),
            (SendFacts { blocked_by_viewer: true, ..none }, Err(Unsendable::BlockedByViewer)),
            (SendFacts { blocked_by_viewer: true, blocked_by_other: true, ..none }, Err(Unsendable::BlockedByViewer)),
            (SendFacts { friends: true, ..none }, Err(Unsendable::AlreadyFriends)),
            (SendFacts { holder: holder(Role::Inviter, false), ..none }, Err(Unsendable::AlreadyInvited)),
            (SendFacts { holder: holder(Role::Inviter, true), ..none }, replace(false)),
            (SendFacts { holder: holder(Role::Invitee, false), ..none }, Ok(SendDecision::Accept)),
            (SendFacts { holder: holder(Role::Invitee, true), ..none }, replace(false)),
            (
                SendFacts { blocked_by_other: true, holder: holder(Role::Inviter, false), ..none },
                Err(Unsendable::AlreadyInvited),
            ),
            (SendFacts { blocked_by_other: true, holder: holder(Role::Inviter, true), ..none }, replace(true)),
            (
                SendFacts { blocked_by_other: true, holder: holder(Role::Invitee, false), ..none },
                Err(Unsendable::AlreadyInvited),
            ),
            (
                SendFacts { blocked_by_viewer: true, holder: holder(Role::Invitee, false), ..none },
                Err(Unsendable::BlockedByViewer),
            ),
        ] {
            assert_eq!(judge_send(facts), decision, "{facts:?}");
        }
    }

    #[test]
    fn a_send_into_a_group_is_judged_by_what_is_between_it_and_the_person() {
        let none = GroupSendFacts::default();
        for (facts, decision) in [
            (none, Ok(SendDecision::Make { hidden: false })),
            (GroupSendFacts { blocked_by_other: true, ..none }, Ok(SendDecision::Make { hidden: true })),
            (GroupSendFacts { blocked_by_viewer: true, ..none }, Err(Unsendable::BlockedByViewer)),
            (GroupSendFacts { member: true, ..none }, Err(Unsendable::AlreadyMember)),
            (GroupSendFacts { member: true, blocked_by_other: true, ..none }, Err(Unsendable::AlreadyMember)),
            (GroupSendFacts { member: true, blocked_by_viewer: true, ..none }, Err(Unsendable::AlreadyMember)),
            (GroupSendFacts { holder_expired: Some(false), ..none }, Err(Unsendable::AlreadyInvited)),
            (
                GroupSendFacts { holder_expired: Some(false), blocked_by_other: true, ..none },
                Err(Unsendable::AlreadyInvited),
            ),
            (GroupSendFacts { holder_expired: Some(true), ..none }, Ok(SendDecision::Replace { hidden: false })),
            (
                GroupSendFacts { holder_expired: Some(true), blocked_by_other: true, ..none },
                Ok(SendDecision::Replace { hidden: true }),
            ),
            (GroupSendFacts { own_hidden_expired: Some(false), ..none }, Err(Unsendable::AlreadyInvited)),
            (
                GroupSendFacts { own_hidden_expired: Some(false), blocked_by_other: true, ..none },
                Err(Unsendable::AlreadyInvited),
            ),
            (
                GroupSendFacts { own_hidden_expired: Some(false), holder_expired: Some(true), ..none },
                Err(Unsendable::AlreadyInvited),
            ),
            (
                GroupSendFacts { own_hidden_expired: Some(true), holder_expired: Some(false), ..none },
                Err(Unsendable::AlreadyInvited),
            ),
            (GroupSendFacts { own_hidden_expired: Some(true), ..none }, Ok(SendDecision::Replace { hidden: false })),
            (
                GroupSendFacts { own_hidden_expired: Some(true), blocked_by_other: true, ..none },
                Ok(SendDecision::Replace { hidden: true }),
            ),
        ] {
            assert_eq!(judge_group_send(facts), decision, "{facts:?}");
        }
    }

    #[test]
    fn notes_are_trimmed_and_bounded() {
        let note = |text: &str| Note::parse(text).map(|note| note.map(Note::into_string));
        assert_eq!(note(""), Ok(None));
        assert_eq!(note(" \n\t "), Ok(None));
        assert_eq!(note("  It's\nme \u{1F44B} "), Ok(Some("It's\nme \u{1F44B}".into())));
        assert_eq!(note("e\u{301}"), Ok(Some("é".into())));
        assert!(note(&"ü".repeat(500)).is_ok());
        for text in ["a\0b", "\0", "a\u{7f}", "a\u{9b}b", &"x".repeat(501), &"\u{301}".repeat(500_000)] {
            assert!(note(text).is_err(), "{:?}", text.chars().take(5).collect::<String>());
        }
    }
}
