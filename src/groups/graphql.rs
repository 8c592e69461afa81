//! Groups on the wire.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::{ConversationId, UserId};

use super::{
    actions::{self, Changes},
    types::{Description, GroupName},
};
use crate::{
    conversations::graphql::{Group, Role},
    error::{Failure, Outcome, Refusal, payload},
    graphql::{
        app, forget_loaded,
        ids::{GlobalId, decode_field},
        viewer,
    },
};

/// A group to make.
#[derive(InputObject)]
pub struct CreateGroupInput {
    /// What it is called: 1 to 100 characters on one line.
    name: String,
    /// What it is about: at most 1000 characters.
    description: Option<String>,
}

/// What to change about a group; what is left out stays.
#[derive(InputObject)]
pub struct UpdateGroupInput {
    /// `conv_…` of the group.
    group_id: ID,
    /// What it is called from now on: 1 to 100 characters on one line. A group cannot be without a name: null is
    /// refused.
    name: MaybeUndefined<String>,
    /// What it is about: at most 1000 characters; null takes the description away.
    description: MaybeUndefined<String>,
}

/// Names a group to act upon.
#[derive(InputObject)]
pub struct GroupActionInput {
    /// `conv_…` of the group.
    group_id: ID,
}

/// Names a member of a group to act upon.
#[derive(InputObject)]
pub struct MemberActionInput {
    /// `conv_…` of the group.
    group_id: ID,
    /// `user_…` of the member.
    user_id: ID,
}

/// A member's new role.
#[derive(InputObject)]
pub struct ChangeMemberRoleInput {
    /// `conv_…` of the group.
    group_id: ID,
    /// `user_…` of the member.
    user_id: ID,
    /// `ADMIN` or `MEMBER`. The ownership is given with `transferOwnership`.
    role: Role,
}

/// The group as the change left it.
#[derive(SimpleObject)]
pub struct GroupPayload {
    /// The group; null when refused, and after leaving it.
    group: Option<Group>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// The answer to `deleteGroup`.
#[derive(SimpleObject)]
pub struct DeleteGroupPayload {
    /// `conv_…` of the group that is no more; null when refused.
    group_id: Option<ID>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

impl GroupPayload {
    pub fn new(group: Option<Group>, user_errors: Vec<Refusal>) -> Self {
        Self { group, user_errors }
    }

    pub(super) fn of(ctx: &Context<'_>, outcome: Outcome<actions::Group>) -> async_graphql::Result<Self> {
        forget_loaded(ctx);
        let (group, user_errors) = payload(outcome)?;
        Ok(Self { group: group.map(Group::new), user_errors })
    }
}

impl MemberActionInput {
    fn ids(&self) -> Outcome<(ConversationId, UserId)> {
        ids(&self.group_id, &self.user_id)
    }
}

fn ids(group_id: &ID, user_id: &ID) -> Outcome<(ConversationId, UserId)> {
    match (decode_field(group_id, "groupId"), decode_field(user_id, "userId")) {
        (Ok(group_id), Ok(user_id)) => Ok((group_id, user_id)),
        (group_id, user_id) => Err(Failure::Refused(group_id.err().into_iter().chain(user_id.err()).collect())),
    }
}

fn parse_name(name: &str) -> Result<GroupName, Refusal> {
    GroupName::parse(name).map_err(|message| Refusal::invalid("name", message))
}

fn parse_description(description: &str) -> Result<Option<Description>, Refusal> {
    Description::parse(description).map_err(|message| Refusal::invalid("description", message))
}

/// Both, or what is wrong with each.
fn both<A, B>(one: Result<A, Refusal>, other: Result<B, Refusal>) -> Outcome<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => Err(Failure::Refused(one.err().into_iter().chain(other.err()).collect())),
    }
}

impl UpdateGroupInput {
    fn changes(&self) -> Outcome<Changes> {
        let name = match &self.name {
            MaybeUndefined::Undefined => Ok(None),
            MaybeUndefined::Null => Err(Refusal::invalid("name", "A group has a name.")),
            MaybeUndefined::Value(name) => parse_name(name).map(Some),
        };
        let description = match &self.description {
            MaybeUndefined::Undefined => Ok(None),
            MaybeUndefined::Null => Ok(Some(None)),
            MaybeUndefined::Value(description) => parse_description(description).map(Some),
        };
        let (name, description) = both(name, description)?;
        Ok(Changes { name, description })
    }
}

/// Making and changing groups.
#[derive(Default)]
pub struct GroupMutation;

#[Object]
impl GroupMutation {
    /// Makes a group, which the viewer owns and is alone in. Rate limited. Refused with `INVALID_INPUT`.
    async fn create_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new group.")] input: CreateGroupInput,
    ) -> async_graphql::Result<GroupPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let description = input.description.as_deref().map_or(Ok(None), parse_description);
            let (name, description) = both(parse_name(&input.name), description)?;
            actions::create(app(ctx), &viewer, name, description).await
        };
        GroupPayload::of(ctx, outcome.await)
    }

    /// Changes the name or the description of a group. For the owner and admins. Refused with `NOT_FOUND`, `FORBIDDEN`,
    /// `INVALID_INPUT`.
    async fn update_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which group, and what to change.")] input: UpdateGroupInput,
    ) -> async_graphql::Result<GroupPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let id = decode_field(&input.group_id, "groupId")?;
            actions::update(app(ctx), &viewer, id, input.changes()?).await
        };
        GroupPayload::of(ctx, outcome.await)
    }

    /// Deletes a group, with all that was said in it, for everybody. For the owner. Refused with `NOT_FOUND`,
    /// `FORBIDDEN`.
    async fn delete_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which group.")] input: GroupActionInput,
    ) -> async_graphql::Result<DeleteGroupPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let id = decode_field(&input.group_id, "groupId")?;
            actions::delete(app(ctx), &viewer, id).await
        };
        let outcome = outcome.await;
        forget_loaded(ctx);
        let (id, user_errors) = payload(outcome)?;
        Ok(DeleteGroupPayload { group_id: id.map(|id| id.encode()), user_errors })
    }

    /// Leaves a group: the viewer can no longer see it, `group` is null. The owner hands over first, or deletes it.
    /// Refused with `NOT_FOUND`, `LAST_OWNER`.
    async fn leave_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which group.")] input: GroupActionInput,
    ) -> async_graphql::Result<GroupPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let id = decode_field(&input.group_id, "groupId")?;
            actions::leave(app(ctx), &viewer, id).await
        };
        let outcome = outcome.await;
        forget_loaded(ctx);
        let ((), user_errors) = payload(outcome).map(|(done, user_errors)| (done.unwrap_or(()), user_errors))?;
        Ok(GroupPayload { group: None, user_errors })
    }

    /// Puts somebody out of a group. The owner can remove everybody else, admins can remove members. Refused with
    /// `NOT_FOUND`, `FORBIDDEN`, and with `INVALID_INPUT` for oneself.
    async fn remove_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and of which group.")] input: MemberActionInput,
    ) -> async_graphql::Result<GroupPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let (id, user_id) = input.ids()?;
            actions::remove(app(ctx), &viewer, id, user_id).await
        };
        GroupPayload::of(ctx, outcome.await)
    }

    /// Makes a member an admin, or an admin a member. For the owner; an admin can give up their own role. Refused with
    /// `NOT_FOUND`, `FORBIDDEN`, `INVALID_INPUT` for the role `OWNER`, `LAST_OWNER` for the owner's own role.
    async fn change_member_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose role, in which group.")] input: ChangeMemberRoleInput,
    ) -> async_graphql::Result<GroupPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let (id, user_id) = ids(&input.group_id, &input.user_id)?;
            actions::change_role(app(ctx), &viewer, id, user_id, input.role.into()).await
        };
        GroupPayload::of(ctx, outcome.await)
    }

    /// Hands a group over to another member; who owned it becomes an admin. For the owner. Refused with `NOT_FOUND`,
    /// `FORBIDDEN`, and with `INVALID_INPUT` for oneself.
    async fn transfer_ownership(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "To whom, and of which group.")] input: MemberActionInput,
    ) -> async_graphql::Result<GroupPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let (id, user_id) = input.ids()?;
            actions::transfer(app(ctx), &viewer, id, user_id).await
        };
        GroupPayload::of(ctx, outcome.await)
    }
}
