//! What changes a group and who is in it. Every verb holds the group's row lock while it judges and writes.

use std::sync::Arc;

use entity::{
    ConversationId, UserId, conversation,
    member::{self, Role},
};

use super::{
    access::{self, Act, AllowedTo, Open, may_invite},
    store,
    types::{Description, GroupName},
};
use crate::{
    app::App,
    auth::Viewer,
    conversations::MAX_GROUP_MEMBERS,
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::{Event, Transaction},
    invites::{self, types::Among},
    rate_limits::Action,
    users::access::hold,
};

/// A group as a verb left it.
pub type Group = Arc<conversation::Model>;

/// Makes a group that the viewer owns.
pub async fn create(app: &App, viewer: &Viewer, name: GroupName, description: Option<Description>) -> Outcome<Group> {
    app.rate_limits.check(Action::CreateGroup, &viewer.user_id().0.to_string()).await?;
    let now = app.clock.now();
    let mut tx = Transaction::begin(app).await?;
    hold(&tx, &[viewer.user_id()]).await?.require(viewer.user_id())?;
    let group = store::insert(&tx, name, description, now).await?;
    store::insert_member(&tx, &group, viewer.user_id(), Role::Owner, now).await?;
    let joined = Event::ConversationJoined { conversation_id: group.id, after: 0 };
    tx.record_personal(viewer.user_id(), joined).await?;
    tx.commit().await?;
    Ok(Arc::new(group))
}

/// What to change; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<GroupName>,
    /// `Some(None)` takes the description away.
    pub description: Option<Option<Description>>,
}

/// Changes the name or the description. What is so already is no change, and nobody hears of it.
///
/// Refused as [`access::allowed`] says.
pub async fn update(app: &App, viewer: &Viewer, id: ConversationId, changes: Changes) -> Outcome<Group> {
    let mut tx = Transaction::begin(app).await?;
    let allowed = access::allowed(&tx, viewer, id, Act::Update).await?;
    let was = allowed.group();
    let mut group = was.clone();
    if let Some(name) = changes.name {
        group.name = Some(name.into_string());
    }
    if let Some(description) = changes.description {
        group.description = description.map(Description::into_string);
    }
    if group != *was {
        store::set_words(&tx, was, group.name.clone(), group.description.clone()).await?;
        tx.record(id, Event::ConversationChanged { conversation_id: id }).await?;
        tx.commit().await?;
    }
    Ok(Arc::new(group))
}

/// Leaves a group.
///
/// Refused with `NOT_FOUND`; with `LAST_OWNER` for the owner, also one who is alone: they delete the group.
pub async fn leave(app: &App, viewer: &Viewer, id: ConversationId) -> Outcome<()> {
    let mut tx = Transaction::begin(app).await?;
    let allowed = access::allowed(&tx, viewer, id, Act::Leave).await?;
    put_out(&mut tx, allowed.actor()).await?;
    tx.commit().await?;
    Ok(())
}

/// Puts somebody out of a group.
///
/// Refused as [`access::judge`] says.
pub async fn remove(app: &App, viewer: &Viewer, id: ConversationId, user_id: UserId) -> Outcome<Group> {
    let mut tx = Transaction::begin(app).await?;
    let AllowedTo { allowed, target } = access::allowed_to(&tx, viewer, id, user_id, Act::Remove).await?;
    put_out(&mut tx, &target).await?;
    tx.commit().await?;
    Ok(Arc::new(allowed.group().clone()))
}

/// Makes somebody an admin or a member. Who has the role already keeps it, and nobody hears of it.
///
/// Refused as [`access::judge`] says.
pub async fn change_role(
    app: &App,
    viewer: &Viewer,
    id: ConversationId,
    user_id: UserId,
    role: Role,
) -> Outcome<Group> {
    let mut tx = Transaction::begin(app).await?;
    let act = |target| Act::ChangeRole(target, role);
    let AllowedTo { allowed, target } = access::allowed_to(&tx, viewer, id, user_id, act).await?;
    if target.role != role {
        give_role(&mut tx, &target, role).await?;
        tx.commit().await?;
    }
    Ok(Arc::new(allowed.group().clone()))
}

/// Hands the group over to another member; who had it becomes an admin.
///
/// Refused as [`access::judge`] says.
pub async fn transfer(app: &App, viewer: &Viewer, id: ConversationId, user_id: UserId) -> Outcome<Group> {
    let mut tx = Transaction::begin(app).await?;
    let AllowedTo { allowed, target } = access::allowed_to(&tx, viewer, id, user_id, Act::Transfer).await?;
    hand_over(&mut tx, allowed.actor(), &target).await?;
    tx.commit().await?;
    Ok(Arc::new(allowed.group().clone()))
}

/// Deletes a group. From the commit on it is not there for anybody; what was said in it is purged in the background.
///
/// Refused as [`access::allowed`] says.
pub async fn delete(app: &App, viewer: &Viewer, id: ConversationId) -> Outcome<ConversationId> {
    let mut tx = Transaction::begin(app).await?;
    let allowed = access::allowed(&tx, viewer, id, Act::Delete).await?;
    end(&mut tx, allowed.group()).await?;
    tx.commit().await?;
    Ok(id)
}

/// For who deletes their account, which is locked, and all their groups with it: takes them out of each. A group in which
/// they are alone is deleted.
///
/// Refused with `LAST_OWNER` while they own a group that others are in.
pub async fn forget(tx: &mut Transaction<'_>, user_id: UserId) -> Outcome<()> {
    for member in store::places_of(tx, user_id).await? {
        if member.role != Role::Owner {
            put_out(tx, &member).await?;
        } else if store::count_members(tx, member.conversation_id).await? > 1 {
            let message = "You own a group that others are in. Hand it over or delete it first.";
            return Err(Refusal::new(UserErrorCode::LastOwner, message).into());
        } else if let Some(group) = store::lock(tx, member.conversation_id).await? {
            end(tx, &group).await?;
        }
    }
    Ok(())
}

/// Why somebody cannot join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjoinable {
    /// There is no such group any more, or who opened the door may do so no more.
    Gone,
    AlreadyMember,
    Full,
}

impl Unjoinable {
    /// For who knows of the group.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Gone => Refusal::new(UserErrorCode::NotFound, "There is no such group."),
            Self::AlreadyMember => Refusal::new(UserErrorCode::AlreadyMember, "You are in this group already."),
            Self::Full => Refusal::new(
                UserErrorCode::LimitReached,
                format!("The group is full: it has {MAX_GROUP_MEMBERS} members."),
            ),
        }
    }
}

/// The one way into a group. Takes its row lock, which comes after the lock of a pair of people; nothing is written
/// unless they join.
pub async fn add_member(
    tx: &mut Transaction<'_>,
    id: ConversationId,
    user_id: UserId,
) -> Result<Result<member::Model, Unjoinable>, Error> {
    // People before conversations; and who is gone joins nothing.
    if !hold(tx, &[user_id]).await?.has(user_id) {
        return Ok(Err(Unjoinable::Gone));
    }
    match access::open(tx, id).await? {
        Some(group) => let_in(tx, &group, user_id).await,
        None => Ok(Err(Unjoinable::Gone)),
    }
}

/// As [`add_member`], if who invited them may still do so.
pub async fn add_invited(
    tx: &mut Transaction<'_>,
    id: ConversationId,
    inviter_id: UserId,
    user_id: UserId,
) -> Result<Result<member::Model, Unjoinable>, Error> {
    if !hold(tx, &[user_id]).await?.has(user_id) {
        return Ok(Err(Unjoinable::Gone));
    }
    let Some(group) = access::open(tx, id).await? else { return Ok(Err(Unjoinable::Gone)) };
    match store::member(tx, id, inviter_id).await? {
        Some(inviter) if may_invite(inviter.role) => let_in(tx, &group, user_id).await,
        _ => Ok(Err(Unjoinable::Gone)),
    }
}

/// Whether somebody is in a group whose lock is held.
pub async fn is_member(tx: &Transaction<'_>, allowed: &access::Allowed, user_id: UserId) -> Result<bool, Error> {
    Ok(store::member(tx, allowed.group().id, user_id).await?.is_some())
}

/// The last step of every way in, under the lock of the group.
async fn let_in(
    tx: &mut Transaction<'_>,
    group: &Open,
    user_id: UserId,
) -> Result<Result<member::Model, Unjoinable>, Error> {
    let group = group.row();
    if store::member(tx, group.id, user_id).await?.is_some() {
        return Ok(Err(Unjoinable::AlreadyMember));
    }
    if store::count_members(tx, group.id).await? >= MAX_GROUP_MEMBERS as u64 {
        return Ok(Err(Unjoinable::Full));
    }
    let member = store::insert_member(tx, group, user_id, Role::Member, tx.app().clock.now()).await?;
    let event = store::member_changed(tx, member.clone()).await?;
    let position = tx.record(group.id, event).await?;
    let joined = Event::ConversationJoined { conversation_id: group.id, after: position - 1 };
    tx.record_personal(user_id, joined).await?;
    Ok(Ok(member))
}

/// Lets somebody in who came by a link, under the lock of the group. Invites into it that wait for them are accepted with
/// that.
pub async fn let_in_by_link(
    tx: &mut Transaction<'_>,
    group: &Open,
    user_id: UserId,
) -> Result<Result<member::Model, Unjoinable>, Error> {
    let joined = let_in(tx, group, user_id).await?;
    if joined.is_ok() {
        invites::actions::settle_into_group(tx, group.row().id, user_id).await?;
    }
    Ok(joined)
}

/// Ends somebody's membership; the invites that they sent into the group end with it, and those to them, which would bring
/// them back.
async fn put_out(tx: &mut Transaction<'_>, member: &member::Model) -> Result<(), Error> {
    let (conversation_id, user_id) = (member.conversation_id, member.user_id);
    if may_invite(member.role) {
        invites::actions::end_into_group(tx, conversation_id, Among::By(user_id)).await?;
    }
    invites::actions::end_into_group(tx, conversation_id, Among::To(user_id)).await?;
    store::delete_member(tx, member).await?;
    tx.record(conversation_id, Event::MemberRemoved { conversation_id, user_id, early: false }).await?;
    tx.record_personal(user_id, Event::ConversationRemoved { conversation_id }).await
}

async fn give_role(tx: &mut Transaction<'_>, member: &member::Model, role: Role) -> Result<(), Error> {
    if may_invite(member.role) && !may_invite(role) {
        invites::actions::end_into_group(tx, member.conversation_id, Among::By(member.user_id)).await?;
    }
    let changed = store::set_role(tx, member, role).await?;
    let event = store::member_changed(tx, changed).await?;
    tx.record(member.conversation_id, event).await?;
    Ok(())
}

/// The old owner first: a unique index says that there is one at most.
async fn hand_over(tx: &mut Transaction<'_>, owner: &member::Model, heir: &member::Model) -> Result<(), Error> {
    give_role(tx, owner, Role::Admin).await?;
    give_role(tx, heir, Role::Owner).await
}

/// Takes somebody out of all their groups, for the end of their account. What they own goes to the admin who has been
/// in it the longest, else to the member who has; a group without anybody else is deleted. Takes the groups' locks in
/// the order of their ids.
pub async fn withdraw(tx: &mut Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    for id in store::group_ids_of(tx, user_id).await? {
        let Some(group) = store::lock(tx, id).await? else { continue };
        let Some(mut member) = store::member(tx, id, user_id).await? else { continue };
        if member.role == Role::Owner {
            let Some(heir) = store::heir(tx, id).await? else {
                end(tx, &group).await?;
                continue;
            };
            hand_over(tx, &member, &heir).await?;
            member.role = Role::Admin;
        }
        put_out(tx, &member).await?;
    }
    Ok(())
}

async fn end(tx: &mut Transaction<'_>, group: &conversation::Model) -> Result<(), Error> {
    let conversation_id = group.id;
    let member_ids = store::member_ids(tx, conversation_id).await?;
    store::mark_deleted(tx, group, tx.app().clock.now()).await?;
    store::delete_members(tx, conversation_id).await?;
    invites::actions::end_into_group(tx, conversation_id, Among::All).await?;
    tx.record(conversation_id, Event::ConversationDeleted { conversation_id }).await?;
    tx.record_personal_to_each(&member_ids, &Event::ConversationRemoved { conversation_id }).await
}
