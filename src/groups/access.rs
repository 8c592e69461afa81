//! Who may do what in a group. Hands out proof.

use std::sync::Arc;

use entity::{
    ConversationId, UserId, conversation,
    member::{self, Role},
};

use super::store;
use crate::{
    app::App,
    auth::Viewer,
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::Transaction,
};

/// What somebody wants to do in their group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Change the name or the description.
    Update,
    /// Invite somebody.
    Invite,
    /// See, make and revoke invite links.
    ManageLinks,
    Leave,
    Delete,
    Remove(Target),
    ChangeRole(Target, Role),
    Transfer(Target),
}

/// Whom an act is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Myself,
    /// Another member.
    Other(Role),
    /// Nobody in this group.
    Nobody,
}

/// Why an act is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It takes another role.
    Role(Act),
    /// Only an owner may, but an owner must hand over first.
    LastOwner(Act),
    /// Ownership is not given like another role.
    UseTransfer,
    /// One cannot remove oneself.
    UseLeave,
    /// The ownership is the viewer's already.
    IsOwner,
    NoSuchMember,
}

/// Whether somebody may invite others. The one place that says so: also whether their invites stay acceptable.
pub fn may_invite(role: Role) -> bool {
    matches!(role, Role::Owner | Role::Admin)
}

/// Whether a member with a role may do something.
pub fn judge(actor: Role, act: Act) -> Result<(), Denied> {
    use Role::{Admin, Member, Owner};
    use Target::{Myself, Nobody, Other};
    let needs = |has_role: bool| if has_role { Ok(()) } else { Err(Denied::Role(act)) };
    match act {
        Act::Invite => needs(may_invite(actor)),
        Act::Update | Act::ManageLinks => needs(matches!(actor, Owner | Admin)),
        Act::Delete => needs(actor == Owner),
        Act::Leave => match actor {
            Owner => Err(Denied::LastOwner(act)),
            Admin | Member => Ok(()),
        },
        Act::Remove(target) => match (actor, target) {
            (_, Myself) => Err(Denied::UseLeave),
            (Member, _) | (Admin, Other(Owner | Admin)) => Err(Denied::Role(act)),
            (Owner | Admin, Nobody) => Err(Denied::NoSuchMember),
            (Owner, Other(_)) | (Admin, Other(Member)) => Ok(()),
        },
        Act::ChangeRole(target, to) => match (actor, target, to) {
            (Owner, _, Owner) => Err(Denied::UseTransfer),
            (Owner, Myself, Admin | Member) => Err(Denied::LastOwner(act)),
            (Owner, Nobody, Admin | Member) => Err(Denied::NoSuchMember),
            (Owner, Other(_), Admin | Member) | (Admin, Myself, Admin | Member) => Ok(()),
            (Admin, Myself, Owner) | (Admin, Other(_) | Nobody, _) | (Member, ..) => Err(Denied::Role(act)),
        },
        Act::Transfer(target) => match (actor, target) {
            (Admin | Member, _) => Err(Denied::Role(act)),
            (Owner, Myself) => Err(Denied::IsOwner),
            (Owner, Nobody) => Err(Denied::NoSuchMember),
            (Owner, Other(_)) => Ok(()),
        },
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let forbidden = |message| Refusal::new(UserErrorCode::Forbidden, message);
        match denied {
            Denied::Role(Act::Update) => forbidden("Only the owner and admins can change the group."),
            Denied::Role(Act::Invite) => forbidden("Only the owner and admins can invite people."),
            Denied::Role(Act::ManageLinks) => forbidden("Only the owner and admins manage invite links."),
            Denied::Role(Act::Delete) => forbidden("Only the owner can delete the group."),
            Denied::Role(Act::Remove(_)) => {
                forbidden("The owner can remove everybody else, admins can remove members.")
            }
            Denied::Role(Act::ChangeRole(..)) => forbidden("Only the owner can change the roles of others."),
            Denied::Role(Act::Transfer(_) | Act::Leave) => forbidden("Only the owner can hand over the group."),
            Denied::LastOwner(Act::ChangeRole(..)) => {
                Refusal::new(UserErrorCode::LastOwner, "A group has an owner: hand it over with transferOwnership.")
            }
            Denied::LastOwner(_) => Refusal::new(
                UserErrorCode::LastOwner,
                "You own this group: hand it over with transferOwnership first, or delete it.",
            ),
            Denied::UseTransfer => Refusal::invalid("role", "To make somebody the owner, use transferOwnership."),
            Denied::UseLeave => Refusal::invalid("userId", "To go yourself, use leaveGroup."),
            Denied::IsOwner => Refusal::invalid("userId", "You own this group already."),
            Denied::NoSuchMember => {
                Refusal::new(UserErrorCode::NotFound, "There is no such member in this group.").of_field("userId")
            }
        }
    }
}

/// Proof that the viewer may do something in a group now: its row lock is held. Only the gates of this module make one.
#[derive(Debug)]
pub struct Allowed {
    group: conversation::Model,
    actor: member::Model,
}

impl Allowed {
    pub fn group(&self) -> &conversation::Model {
        &self.group
    }

    /// The viewer's own place in it.
    pub fn actor(&self) -> &member::Model {
        &self.actor
    }
}

/// Proof that the viewer may do something to a member.
#[derive(Debug)]
pub struct AllowedTo {
    pub(super) allowed: Allowed,
    pub(super) target: member::Model,
}

/// The gate to an act. Takes the lock of the group.
///
/// Refused with `NOT_FOUND` for who is not in the group, as if there were none; with `FORBIDDEN` or `LAST_OWNER` for
/// members without the right.
pub async fn allowed(tx: &Transaction<'_>, viewer: &Viewer, id: ConversationId, act: Act) -> Outcome<Allowed> {
    let allowed = insider(tx, viewer, id).await?;
    judge(allowed.actor.role, act).map_err(Refusal::from)?;
    Ok(allowed)
}

/// The gate to an act that is about a member.
///
/// Refused as [`allowed`], and with `NOT_FOUND` or `INVALID_INPUT` where it cannot be about them.
pub(super) async fn allowed_to(
    tx: &Transaction<'_>,
    viewer: &Viewer,
    id: ConversationId,
    target_id: UserId,
    act: impl FnOnce(Target) -> Act,
) -> Outcome<AllowedTo> {
    let allowed = insider(tx, viewer, id).await?;
    let target = store::member(tx, id, target_id).await?;
    let how = match &target {
        Some(target) if target.user_id == viewer.user_id() => Target::Myself,
        Some(target) => Target::Other(target.role),
        None => Target::Nobody,
    };
    judge(allowed.actor.role, act(how)).map_err(Refusal::from)?;
    let target = target.ok_or_else(|| Refusal::from(Denied::NoSuchMember))?;
    Ok(AllowedTo { allowed, target })
}

/// Proof that a group is there and that its row lock is held.
#[derive(Clone, Debug)]
pub struct Open(conversation::Model);

impl Open {
    pub fn row(&self) -> &conversation::Model {
        &self.0
    }

    pub fn into_row(self) -> Arc<conversation::Model> {
        Arc::new(self.0)
    }
}

/// Takes the lock of a group, for who comes to it from outside: by an invite or a link. None when there is none any
/// more.
pub async fn open(tx: &Transaction<'_>, id: ConversationId) -> Result<Option<Open>, Error> {
    Ok(store::lock(tx, id).await?.map(Open))
}

/// A look at the gate without a lock, for a verb that asks others before it takes one. It proves nothing.
pub async fn look(app: &App, viewer: &Viewer, id: ConversationId, act: Act) -> Outcome<()> {
    let member = store::look_for_member(&app.db, id, viewer.user_id()).await?.ok_or_else(no_group)?;
    Ok(judge(member.role, act).map_err(Refusal::from)?)
}

async fn insider(tx: &Transaction<'_>, viewer: &Viewer, id: ConversationId) -> Outcome<Allowed> {
    // Strangers wait for no lock, and nobody waits for strangers.
    if store::member(tx, id, viewer.user_id()).await?.is_none() {
        return Err(no_group().into());
    }
    let group = store::lock(tx, id).await?.ok_or_else(no_group)?;
    let actor = store::member(tx, id, viewer.user_id()).await?.ok_or_else(no_group)?;
    Ok(Allowed { group, actor })
}

/// What somebody is told who may not know that a group exists.
pub fn no_group() -> Refusal {
    Refusal::new(UserErrorCode::NotFound, "There is no such group.").of_field("groupId")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 3] = [Role::Owner, Role::Admin, Role::Member];
    const TARGETS: [Target; 5] = [
        Target::Myself,
        Target::Other(Role::Owner),
        Target::Other(Role::Admin),
        Target::Other(Role::Member),
        Target::Nobody,
    ];

    /// y: may; r: by role no; o: an owner must stay; t: use transfer; l: use leave; i: is the owner; n: no such member.
    fn letter(verdict: Result<(), Denied>) -> char {
        match verdict {
            Ok(()) => 'y',
            Err(Denied::Role(_)) => 'r',
            Err(Denied::LastOwner(_)) => 'o',
            Err(Denied::UseTransfer) => 't',
            Err(Denied::UseLeave) => 'l',
            Err(Denied::IsOwner) => 'i',
            Err(Denied::NoSuchMember) => 'n',
        }
    }

    #[test]
    fn each_role_may_what_the_table_says() {
        // Owner, admin, member.
        for (act, expected) in [
            (Act::Update, "yyr"),
            (Act::Invite, "yyr"),
            (Act::ManageLinks, "yyr"),
            (Act::Leave, "oyy"),
            (Act::Delete, "yrr"),
        ] {
            let verdicts: String = ROLES.iter().map(|role| letter(judge(*role, act))).collect();
            assert_eq!(verdicts, expected, "{act:?}");
        }
    }

    #[test]
    fn each_role_may_to_each_other_what_the_table_says() {
        type Of = fn(Target) -> Act;
        let to_owner: Of = |target| Act::ChangeRole(target, Role::Owner);
        let to_admin: Of = |target| Act::ChangeRole(target, Role::Admin);
        let to_member: Of = |target| Act::ChangeRole(target, Role::Member);
        // To oneself, the owner, an admin, a member, nobody. (Nobody but oneself is an owner beside the owner: what
        // would be answered there does not matter.)
        for (actor, what, act, expected) in [
            (Role::Owner, "remove", Act::Remove as Of, "lyyyn"),
            (Role::Admin, "remove", Act::Remove, "lrryn"),
            (Role::Member, "remove", Act::Remove, "lrrrr"),
            (Role::Owner, "make an owner", to_owner, "ttttt"),
            (Role::Admin, "make an owner", to_owner, "rrrrr"),
            (Role::Member, "make an owner", to_owner, "rrrrr"),
            (Role::Owner, "make an admin", to_admin, "oyyyn"),
            (Role::Admin, "make an admin", to_admin, "yrrrr"),
            (Role::Member, "make an admin", to_admin, "rrrrr"),
            (Role::Owner, "make a member", to_member, "oyyyn"),
            (Role::Admin, "make a member", to_member, "yrrrr"),
            (Role::Member, "make a member", to_member, "rrrrr"),
            (Role::Owner, "hand over", Act::Transfer, "iyyyn"),
            (Role::Admin, "hand over", Act::Transfer, "rrrrr"),
            (Role::Member, "hand over", Act::Transfer, "rrrrr"),
        ] {
            let verdicts: String = TARGETS.iter().map(|target| letter(judge(actor, act(*target)))).collect();
            assert_eq!(verdicts, expected, "{actor:?}: {what}");
        }
    }

    #[test]
    fn who_may_invite_has_the_same_right_everywhere() {
        for role in ROLES {
            assert_eq!(judge(role, Act::Invite).is_ok(), may_invite(role), "{role:?}");
        }
    }
}
