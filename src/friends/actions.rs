//! What changes how two people stand to each other.

use entity::{ConversationId, Timestamp, UserId};

use super::{store, types::Pair};
use crate::{
    app::App,
    auth::Viewer,
    conversations,
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::{Event, Transaction},
    invites,
    users::access::{VisibleUser, visible_user},
};

/// Makes two people friends and opens their conversation. For the acceptance of an invite, which holds the lock of
/// the pair and has seen that they are not friends and that no block is between them.
pub async fn befriend(
    tx: &mut Transaction<'_>,
    one: UserId,
    other: UserId,
    now: Timestamp,
) -> Result<ConversationId, Error> {
    record_changed(tx, one, other).await?;
    record_changed(tx, other, one).await?;
    let conversation_id = conversations::actions::open_direct(tx, one, other).await?;
    store::insert_friendship(tx, (one, other), conversation_id, now).await?;
    Ok(conversation_id)
}

/// Ends a friendship, and takes the viewer's pending invites to the friend back. The conversation stays readable for both;
/// nothing new can be sent in it.
///
/// Refused with `NOT_FRIENDS`, for people whom the viewer may not know of and for ids of nobody alike.
pub async fn remove(app: &App, viewer: &Viewer, friend_id: UserId) -> Outcome<VisibleUser> {
    let not_friends =
        || Refusal::new(UserErrorCode::NotFriends, "You are not friends with this person.").of_field("userId");
    let friend = visible_user(app, viewer, friend_id).await?.ok_or_else(not_friends)?;
    let mut tx = Transaction::begin(app).await?;
    Pair::of(viewer.user_id(), friend_id).lock(&tx).await?;
    if !store::delete_friendship(&tx, viewer.user_id(), friend_id).await? {
        return Err(not_friends().into());
    }
    invites::actions::take_back(&mut tx, viewer.user_id(), friend_id, app.clock.now()).await?;
    record_changed(&mut tx, viewer.user_id(), friend_id).await?;
    record_changed(&mut tx, friend_id, viewer.user_id()).await?;
    conversations::actions::close_direct(&mut tx, viewer.user_id(), friend_id).await?;
    tx.commit().await?;
    Ok(friend)
}

/// Blocks somebody: ends the friendship, revokes the viewer's invite to them, hides theirs to the viewer. They are not
/// told; a friend hears what they would hear at the end of a friendship. A repeat changes nothing.
///
/// Refused with `INVALID_INPUT` for the viewer themselves, with `NOT_FOUND` for whom the viewer may not see.
pub async fn block(app: &App, viewer: &Viewer, user_id: UserId) -> Outcome<VisibleUser> {
    if user_id == viewer.user_id() {
        return Err(Refusal::invalid("userId", "You cannot block yourself.").into());
    }
    let user = visible_user(app, viewer, user_id).await?.ok_or_else(no_user)?;
    let now = app.clock.now();
    let mut tx = Transaction::begin(app).await?;
    let held = Pair::of(viewer.user_id(), user_id).lock(&tx).await?;
    held.require(viewer.user_id())?;
    // Of somebody who is gone nothing can come.
    if !held.has(user_id) {
        return Err(no_user().into());
    }
    if !store::insert_block(&tx, viewer.user_id(), user_id, now).await? {
        return Ok(user);
    }
    invites::actions::end_between(&mut tx, viewer.user_id(), user_id, now).await?;
    let were_friends = store::delete_friendship(&tx, viewer.user_id(), user_id).await?;
    record_changed(&mut tx, viewer.user_id(), user_id).await?;
    if were_friends {
        record_changed(&mut tx, user_id, viewer.user_id()).await?;
        conversations::actions::close_direct(&mut tx, viewer.user_id(), user_id).await?;
    }
    tx.commit().await?;
    Ok(user)
}

/// Takes a block back. The two are strangers then. An invite that the block has hidden is there again, while it is
/// pending; one that came meanwhile stays hidden. Of somebody who is not blocked, nothing changes.
///
/// Refused with `NOT_FOUND` for whom the viewer may not see.
pub async fn unblock(app: &App, viewer: &Viewer, user_id: UserId) -> Outcome<VisibleUser> {
    let user = visible_user(app, viewer, user_id).await?.ok_or_else(no_user)?;
    let mut tx = Transaction::begin(app).await?;
    Pair::of(viewer.user_id(), user_id).lock(&tx).await?;
    if let Some(since) = store::delete_block(&tx, viewer.user_id(), user_id).await? {
        invites::actions::show_again(&mut tx, user_id, viewer.user_id(), since, app.clock.now()).await?;
        record_changed(&mut tx, viewer.user_id(), user_id).await?;
        tx.commit().await?;
    }
    Ok(user)
}

/// For who deletes their account, and whose account is held so that nobody else can: ends their friendships as
/// [`remove`] does, and takes back the blocks by and of them.
///
/// The row locks of their open conversations are held.
pub async fn forget(tx: &mut Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    let friends = store::delete_friendships_of(tx, user_id).await?;
    let blockers = store::delete_blocks_of(tx, user_id).await?;
    for other_id in friends.iter().chain(&blockers) {
        record_changed(tx, *other_id, user_id).await?;
    }
    for friend_id in friends {
        conversations::actions::close_direct(tx, user_id, friend_id).await?;
    }
    Ok(())
}

/// Tells somebody's friends, and their own devices, that they go by another name.
pub async fn tell_of_new_name(tx: &mut Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    let mut hearers = store::friend_ids(tx, user_id).await?;
    hearers.push(user_id);
    tx.record_personal_to_each(&hearers, &Event::FriendshipChanged { other_id: user_id }).await
}

async fn record_changed(tx: &mut Transaction<'_>, user_id: UserId, other_id: UserId) -> Result<(), Error> {
    tx.record_personal(user_id, Event::FriendshipChanged { other_id }).await
}

fn no_user() -> Refusal {
    Refusal::new(UserErrorCode::NotFound, "There is no such person.").of_field("userId")
}
