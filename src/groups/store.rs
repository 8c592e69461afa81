//! Statements about groups and their members.

use std::sync::Arc;

use entity::{
    ConversationId, Timestamp, UserId, conversation,
    member::{self, Role},
    user,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, JoinType, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, RelationTrait, sea_query::Expr,
};

use super::types::{Description, GroupName};
use crate::{
    db::Db,
    error::Error,
    events::{Event, Transaction},
};

/// The group, with its row lock held until the transaction ends; none when there is none or it was deleted.
pub(super) async fn lock(tx: &Transaction<'_>, id: ConversationId) -> Result<Option<conversation::Model>, Error> {
    use conversation::{Column, Entity, Kind};
    let query = Entity::find_by_id(id).filter(Column::Kind.eq(Kind::Group)).filter(Column::DeletedAt.is_null());
    Ok(query.lock_exclusive().one(tx.db()).await?)
}

pub(super) async fn member(
    tx: &Transaction<'_>,
    id: ConversationId,
    user_id: UserId,
) -> Result<Option<member::Model>, Error> {
    Ok(member::Entity::find_by_id((id, user_id)).one(tx.db()).await?)
}

/// Somebody's place in a conversation that is a group.
pub(super) async fn look_for_member(
    db: &Db,
    id: ConversationId,
    user_id: UserId,
) -> Result<Option<member::Model>, Error> {
    let member = member::Entity::find_by_id((id, user_id))
        .join(JoinType::InnerJoin, member::Relation::Conversation.def())
        .filter(conversation::Column::Kind.eq(conversation::Kind::Group));
    Ok(member.one(db.read()).await?)
}

/// Somebody's places in all their groups, by the id of the group.
pub(super) async fn places_of(tx: &Transaction<'_>, user_id: UserId) -> Result<Vec<member::Model>, Error> {
    let places = member::Entity::find()
        .join(JoinType::InnerJoin, member::Relation::Conversation.def())
        .filter(conversation::Column::Kind.eq(conversation::Kind::Group))
        .filter(member::Column::UserId.eq(user_id))
        .order_by_asc(member::Column::ConversationId);
    Ok(places.all(tx.db()).await?)
}

pub(super) async fn count_members(tx: &Transaction<'_>, id: ConversationId) -> Result<u64, Error> {
    Ok(member::Entity::find().filter(member::Column::ConversationId.eq(id)).count(tx.db()).await?)
}

pub(super) async fn member_ids(tx: &Transaction<'_>, id: ConversationId) -> Result<Vec<UserId>, Error> {
    use member::{Column, Entity};
    let query = Entity::find().select_only().column(Column::UserId).filter(Column::ConversationId.eq(id));
    Ok(query.order_by_asc(Column::UserId).into_tuple().all(tx.db()).await?)
}

/// The groups that somebody is in, by id.
pub(super) async fn group_ids_of(tx: &Transaction<'_>, user_id: UserId) -> Result<Vec<ConversationId>, Error> {
    let query = member::Entity::find()
        .select_only()
        .column(member::Column::ConversationId)
        .join(JoinType::InnerJoin, member::Relation::Conversation.def())
        .filter(member::Column::UserId.eq(user_id))
        .filter(conversation::Column::Kind.eq(conversation::Kind::Group))
        .order_by_asc(member::Column::ConversationId);
    Ok(query.into_tuple().all(tx.db()).await?)
}

/// Who is to own a group when its owner goes: the admin, else the member, who has been in it the longest.
pub(super) async fn heir(tx: &Transaction<'_>, id: ConversationId) -> Result<Option<member::Model>, Error> {
    use member::{Column, Entity};
    for role in [Role::Admin, Role::Member] {
        let oldest = Entity::find()
            .filter(Column::ConversationId.eq(id))
            .filter(Column::Role.eq(role))
            .order_by_asc(Column::JoinedAt)
            .order_by_asc(Column::UserId)
            .limit(1)
            .one(tx.db())
            .await?;
        if oldest.is_some() {
            return Ok(oldest);
        }
    }
    Ok(None)
}

pub(super) async fn insert(
    tx: &Transaction<'_>,
    name: GroupName,
    description: Option<Description>,
    now: Timestamp,
) -> Result<conversation::Model, Error> {
    let row = conversation::Model {
        id: tx.app().clock.new_id(),
        kind: conversation::Kind::Group,
        direct_low: None,
        direct_high: None,
        name: Some(name.into_string()),
        description: description.map(Description::into_string),
        open: true,
        sequence: 0,
        position: 0,
        created_at: now,
        last_activity_at: now,
        deleted_at: None,
    };
    conversation::Entity::insert(row.clone().into_active_model()).exec_without_returning(tx.db()).await?;
    Ok(row)
}

/// Writes a new member, who has read everything so far.
pub(super) async fn insert_member(
    tx: &Transaction<'_>,
    group: &conversation::Model,
    user_id: UserId,
    role: Role,
    now: Timestamp,
) -> Result<member::Model, Error> {
    let row = member::Model {
        conversation_id: group.id,
        user_id,
        role,
        joined_at: now,
        last_read_sequence: group.sequence,
        last_read_at: None,
        shown_read_sequence: None,
        shown_read_at: None,
    };
    member::Entity::insert(row.clone().into_active_model()).exec_without_returning(tx.db()).await?;
    Ok(row)
}

pub(super) async fn delete_member(tx: &Transaction<'_>, member: &member::Model) -> Result<(), Error> {
    member::Entity::delete_by_id((member.conversation_id, member.user_id)).exec(tx.db()).await?;
    Ok(())
}

pub(super) async fn delete_members(tx: &Transaction<'_>, id: ConversationId) -> Result<(), Error> {
    member::Entity::delete_many().filter(member::Column::ConversationId.eq(id)).exec(tx.db()).await?;
    Ok(())
}

pub(super) async fn set_role(tx: &Transaction<'_>, member: &member::Model, role: Role) -> Result<member::Model, Error> {
    let mut row = member.clone().into_active_model();
    row.role = Set(role);
    Ok(row.update(tx.db()).await?)
}

pub(super) async fn set_words(
    tx: &Transaction<'_>,
    group: &conversation::Model,
    name: Option<String>,
    description: Option<String>,
) -> Result<(), Error> {
    use conversation::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::Name, Expr::value(name))
        .col_expr(Column::Description, Expr::value(description))
        .filter(Column::Id.eq(group.id))
        .exec(tx.db())
        .await?;
    Ok(())
}

/// Closes a group for good.
pub(super) async fn mark_deleted(
    tx: &Transaction<'_>,
    group: &conversation::Model,
    now: Timestamp,
) -> Result<(), Error> {
    use conversation::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::Open, Expr::value(false))
        .col_expr(Column::DeletedAt, Expr::value(now))
        .filter(Column::Id.eq(group.id))
        .exec(tx.db())
        .await?;
    Ok(())
}

/// The event that tells of a member as they are now.
pub(super) async fn member_changed(tx: &Transaction<'_>, member: member::Model) -> Result<Event, Error> {
    let user = user::Entity::find_by_id(member.user_id).one(tx.db()).await?;
    let user = user.ok_or_else(|| Error::internal("a member without an account"))?;
    Ok(Event::MemberChanged { member: Arc::new(member), user: Arc::new(user) })
}
