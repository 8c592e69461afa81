//! What changes a conversation itself.

use std::sync::Arc;

use entity::{ConversationId, UserId, account, conversation, member, user};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, LockType, Query, SimpleExpr},
};

use super::{access::Reader, store::DirectPair};
use crate::{
    app::App,
    error::{Error, Outcome, Refusal, UserErrorCode},
    events::{Event, Transaction},
};

/// Opens the direct conversation of two people who became friends: a new one, or theirs of old.
pub async fn open_direct(tx: &mut Transaction<'_>, one: UserId, other: UserId) -> Result<ConversationId, Error> {
    if let Some(existing) = lock_direct(tx, one, other).await? {
        if !existing.open {
            set_open(tx, existing.id, true).await?;
            crate::messages::actions::tell_missed_deletions(tx, existing.id).await?;
        }
        return Ok(existing.id);
    }
    let now = tx.app().clock.now();
    let id: ConversationId = tx.app().clock.new_id();
    let pair = DirectPair::of(one, other);
    let row = conversation::ActiveModel {
        id: Set(id),
        kind: Set(conversation::Kind::Direct),
        direct_low: Set(Some(pair.low())),
        direct_high: Set(Some(pair.high())),
        open: Set(true),
        name: Set(None),
        description: Set(None),
        deleted_at: Set(None),
        sequence: Set(0),
        position: Set(0),
        created_at: Set(now),
        last_activity_at: Set(now),
    };
    conversation::Entity::insert(row).exec_without_returning(tx.db()).await?;
    let members = [one, other].map(|user_id| member::ActiveModel {
        conversation_id: Set(id),
        user_id: Set(user_id),
        role: Set(member::Role::Member),
        joined_at: Set(now),
        last_read_sequence: Set(0),
        last_read_at: Set(None),
        ..Default::default()
    });
    member::Entity::insert_many(members).exec_without_returning(tx.db()).await?;
    for user_id in [one, other] {
        tx.record_personal(user_id, Event::ConversationJoined { conversation_id: id, after: 0 }).await?;
    }
    Ok(id)
}

/// Closes the direct conversation of two people who are no longer friends. From the commit on nothing is sent in it.
pub async fn close_direct(tx: &mut Transaction<'_>, one: UserId, other: UserId) -> Result<(), Error> {
    if let Some(existing) = lock_direct(tx, one, other).await?
        && existing.open
    {
        set_open(tx, existing.id, false).await?;
    }
    Ok(())
}

/// Takes the row locks of all conversations that somebody is in and that are open, in the order of ids as everywhere.
/// For a verb that changes many of them.
pub async fn lock_all_of(tx: &Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    use conversation::Column;
    let mine = member::Entity::find().select_only().column(member::Column::ConversationId);
    let mine = mine.filter(member::Column::UserId.eq(user_id)).into_query();
    let rows = conversation::Entity::find().select_only().column(Column::Id);
    let rows = rows.filter(Column::Id.in_subquery(mine)).filter(Column::Open.eq(true)).order_by_asc(Column::Id);
    rows.lock(LockType::NoKeyUpdate).into_tuple::<ConversationId>().all(tx.db()).await?;
    Ok(())
}

/// Moves the viewer's read position forward; never back. A sequence past the newest message means the newest. In a
/// closed conversation the viewer alone sees it.
pub async fn mark_read(app: &App, reader: &Reader, sequence: i32) -> Outcome<()> {
    use member::Column;
    if sequence < 0 {
        return Err(Refusal::new(UserErrorCode::InvalidInput, "A sequence is 0 or more.").of_field("sequence").into());
    }
    let conversation_id = reader.conversation().id;
    let user_id = reader.viewer().user_id();
    let mut tx = Transaction::begin(app).await?;
    // Held until the commit against the end of the friendship, and no obstacle to sends.
    let conversation = conversation::Entity::find_by_id(conversation_id).lock(LockType::KeyShare).one(tx.db()).await?;
    let Some(conversation) = conversation else {
        return Err(Error::internal("the conversation is gone").into());
    };
    let sequence = i64::from(sequence).min(conversation.sequence);
    let read_at = app.clock.now();
    let moved = member::Entity::update_many()
        .col_expr(Column::LastReadSequence, Expr::value(sequence))
        .col_expr(Column::LastReadAt, Expr::value(read_at))
        .filter(Column::ConversationId.eq(conversation_id))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::LastReadSequence.lt(sequence))
        .exec(tx.db())
        .await?;
    if moved.rows_affected == 0 {
        return Ok(());
    }
    // After the end of a friendship nobody is told.
    if conversation.open {
        let ReaderRow { user, read_receipts } = load_reader(&tx, user_id).await?;
        let (user, hidden) = (Arc::new(user), read_receipts != Some(true));
        tx.record_state(conversation_id, Event::ReadMoved { conversation_id, user, sequence, read_at, hidden }).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Conversations in which a switch of read receipts is told.
const MAX_TOLD_OF_SWITCH: u64 = 1000;

/// After somebody has switched read receipts: tells the members of their open conversations, of the 1,000 that were active
/// last, that how far they have read is shown now, or is not. By a few statements.
pub async fn tell_of_receipts(tx: &mut Transaction<'_>, user: &user::Model) -> Result<(), Error> {
    use conversation::Column;
    let mine = member::Entity::find().select_only().column(member::Column::ConversationId);
    let mine = mine.filter(member::Column::UserId.eq(user.id)).into_query();
    let open = || conversation::Entity::find().select_only().column(Column::Id).filter(Column::Open.eq(true));
    let latest: Vec<ConversationId> = open()
        .filter(Column::Id.in_subquery(mine))
        .order_by_desc(Column::LastActivityAt)
        .limit(MAX_TOLD_OF_SWITCH)
        .into_tuple()
        .all(tx.db())
        .await?;
    // Held until the commit against the end of a friendship, as when somebody reads.
    let held: Vec<ConversationId> = open()
        .filter(Column::Id.is_in(latest))
        .order_by_asc(Column::Id)
        .lock(LockType::KeyShare)
        .into_tuple()
        .all(tx.db())
        .await?;
    let places = member::Entity::find()
        .filter(member::Column::UserId.eq(user.id))
        .filter(member::Column::ConversationId.is_in(held));
    let user = Arc::new(user.clone());
    let events = places.all(tx.db()).await?.into_iter().map(|member| {
        (member.conversation_id, Event::MemberChanged { member: Arc::new(member), user: Arc::clone(&user) })
    });
    tx.record_state_all(events.collect()).await
}

/// Who reads, with their switch of read receipts: in one statement.
#[derive(FromQueryResult)]
struct ReaderRow {
    #[sea_orm(nested)]
    user: user::Model,
    read_receipts: Option<bool>,
}

async fn load_reader(tx: &Transaction<'_>, user_id: UserId) -> Result<ReaderRow, Error> {
    let switch = Query::select()
        .column(account::Column::ReadReceipts)
        .from(account::Entity)
        .and_where(account::Column::UserId.eq(user_id))
        .to_owned();
    let row = user::Entity::find_by_id(user_id)
        .column_as(SimpleExpr::from(switch), "read_receipts")
        .into_model::<ReaderRow>()
        .one(tx.db())
        .await?;
    row.ok_or_else(|| Error::internal("the reader is gone"))
}

/// For who is about to lock another conversation: locks the two people's direct one first, where its id comes first. The
/// rows of conversations are locked in the order of their ids.
pub async fn lock_direct_before(
    tx: &Transaction<'_>,
    (one, other): (UserId, UserId),
    id: ConversationId,
) -> Result<(), Error> {
    use conversation::Column;
    let pair = DirectPair::of(one, other);
    conversation::Entity::find()
        .filter(Column::DirectLow.eq(pair.low()))
        .filter(Column::DirectHigh.eq(pair.high()))
        .filter(Column::Id.lt(id))
        .lock_exclusive()
        .one(tx.db())
        .await?;
    Ok(())
}

async fn lock_direct(tx: &Transaction<'_>, one: UserId, other: UserId) -> Result<Option<conversation::Model>, Error> {
    use conversation::Column;
    let pair = DirectPair::of(one, other);
    Ok(conversation::Entity::find()
        .filter(Column::DirectLow.eq(pair.low()))
        .filter(Column::DirectHigh.eq(pair.high()))
        .lock_exclusive()
        .one(tx.db())
        .await?)
}

async fn set_open(tx: &mut Transaction<'_>, id: ConversationId, open: bool) -> Result<(), Error> {
    use conversation::Column;
    conversation::Entity::update_many()
        .col_expr(Column::Open, Expr::value(open))
        .filter(Column::Id.eq(id))
        .exec(tx.db())
        .await?;
    // What the two see of each other's reading stays as it is now, or goes on.
    use member::Column as Member;
    let as_read = |column: Member| if open { Expr::value(Option::<i64>::None) } else { Expr::col(column) };
    member::Entity::update_many()
        .col_expr(Member::ShownReadSequence, as_read(Member::LastReadSequence))
        .col_expr(Member::ShownReadAt, as_read(Member::LastReadAt))
        .filter(Member::ConversationId.eq(id))
        .exec(tx.db())
        .await?;
    tx.record(id, Event::ConversationChanged { conversation_id: id }).await?;
    Ok(())
}
