//! Invite links on the wire.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::{ConversationId, conversation, invite_link};

use super::{
    access::{self, VisibleLink},
    actions::{self, Joined},
    types::Code,
};
use crate::{
    conversations::{
        graphql::{Group, int},
        store::MemberCount,
    },
    error::{Error, Refusal, UserErrorCode, payload},
    graphql::{
        app, forget_loaded,
        ids::{GlobalId, decode_field},
        loaders,
        scalars::DateTime,
        viewer,
    },
    groups::graphql::GroupPayload,
    rate_limits::Action,
    users::{access::Seen, graphql::User},
};

/// A reusable, revocable link into a group. It is there while it can be used: not after it was revoked, has expired or
/// was used up.
#[derive(Clone, Debug)]
pub struct InviteLink {
    row: Arc<invite_link::Model>,
    /// Only where it is being made.
    code: Option<Code>,
}

impl From<VisibleLink> for InviteLink {
    fn from(link: VisibleLink) -> Self {
        Self { row: link.into_row(), code: None }
    }
}

/// A reusable, revocable link into a group. It is there while it can be used: not after it was revoked, has expired or
/// was used up.
#[Object]
impl InviteLink {
    /// Opaque and stable, e.g. `link_01h455vb4pex5vsknk084sn02q`. It opens nothing: that is the `code`.
    pub async fn id(&self) -> ID {
        self.row.id.encode()
    }

    /// What opens the group: 22 characters for `joinGroup`, at least 128 bits from the system's random source. Shown
    /// **once**, in the answer of `createInviteLink`, and null from then on: the server keeps only its hash. Whoever
    /// lost it makes another link.
    async fn code(&self) -> Option<String> {
        self.code.as_ref().map(Code::encode)
    }

    /// What is behind it.
    async fn group(&self, ctx: &Context<'_>) -> async_graphql::Result<GroupPreview> {
        let row = loaders(ctx).load(self.row.group_id).await?;
        Ok(GroupPreview(row.ok_or_else(|| Error::internal("a link without its group"))?))
    }

    /// Who made it; null for who may not know that person. It goes on when they lose the right to make one.
    async fn created_by(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let seen = Seen { viewer_id: viewer(ctx)?.user_id(), user_id: self.row.created_by };
        Ok(loaders(ctx).load(seen).await?.map(User::from))
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    /// When it can no longer be used; null for never.
    async fn expires_at(&self) -> Option<DateTime> {
        self.row.expires_at.map(Into::into)
    }

    /// How many can join by it; null for any number.
    async fn max_uses(&self) -> Option<i32> {
        self.row.max_uses
    }

    /// How many have joined by it.
    async fn uses(&self) -> i32 {
        self.row.uses
    }
}

/// What a holder of a valid link sees before joining.
#[derive(Clone)]
pub struct GroupPreview(Arc<conversation::Model>);

/// What a holder of a valid link sees before joining.
#[Object]
impl GroupPreview {
    /// `conv_…` of the group.
    async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// What it is called.
    async fn name(&self) -> &str {
        self.0.name.as_deref().unwrap_or_default()
    }

    /// What it is about; null when nobody said.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// How many members it has.
    async fn member_count(&self, ctx: &Context<'_>) -> async_graphql::Result<i32> {
        Ok(int(loaders(ctx).load(MemberCount(self.0.id)).await?.unwrap_or(0)))
    }
}

/// A link to make.
#[derive(InputObject)]
pub struct CreateInviteLinkInput {
    /// `conv_…` of the group.
    group_id: ID,
    /// When it is to expire; left out: never.
    expires_at: Option<DateTime>,
    /// How many may join by it, 1 to 10000; left out: any number.
    max_uses: Option<i32>,
}

/// Names a link to act upon.
#[derive(InputObject)]
pub struct InviteLinkActionInput {
    /// `link_…`
    invite_link_id: ID,
}

/// How to get in.
#[derive(InputObject)]
pub struct JoinGroupInput {
    /// The `code` of an invite link.
    code: String,
}

/// The link as the change left it.
#[derive(SimpleObject)]
pub struct InviteLinkPayload {
    /// With its `code` where it was made; null when refused.
    invite_link: Option<InviteLink>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

#[derive(Default)]
pub struct InviteLinkQuery;

#[Object]
impl InviteLinkQuery {
    /// The link that a code belongs to, to see what is behind it before joining; null when there is none, or it is over.
    /// Rate limited.
    async fn invite_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `code` of an invite link.")] code: String,
    ) -> Option<async_graphql::Result<InviteLink>> {
        let find = async {
            let (app, viewer) = (app(ctx), viewer(ctx)?);
            app.rate_limits.check(Action::UseInviteLink, &viewer.user_id().0.to_string()).await?;
            match Code::parse(&code) {
                Some(code) => access::by_code(app, &code).await,
                None => Ok(None),
            }
        };
        find.await.map_err(Into::into).map(|link| link.map(Into::into)).transpose()
    }
}

/// Making, revoking and using invite links.
#[derive(Default)]
pub struct InviteLinkMutation;

#[Object]
impl InviteLinkMutation {
    /// Makes a link by which whoever has its `code` can join a group. The code is in this answer and never again. For
    /// the owner and admins. A group has at most 50 links. Rate limited. Refused with `NOT_FOUND`, `FORBIDDEN`,
    /// `INVALID_INPUT`, `LIMIT_REACHED`.
    async fn create_invite_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Into which group, until when, how often.")] input: CreateInviteLinkInput,
    ) -> async_graphql::Result<InviteLinkPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let group_id: ConversationId = decode_field(&input.group_id, "groupId")?;
            let expires_at = input.expires_at.map(|expires_at| expires_at.0);
            actions::create(app(ctx), &viewer, group_id, expires_at, input.max_uses).await
        };
        let (made, user_errors) = payload(outcome.await)?;
        let invite_link = made.map(|(link, code)| InviteLink { row: link.into_row(), code: Some(code) });
        Ok(InviteLinkPayload { invite_link, user_errors })
    }

    /// Ends a link: nobody joins by it any more, and it is gone. For the owner and admins, whoever made it. Refused with
    /// `NOT_FOUND`.
    async fn revoke_invite_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which link.")] input: InviteLinkActionInput,
    ) -> async_graphql::Result<InviteLinkPayload> {
        let viewer = viewer(ctx)?;
        let outcome = async {
            let id = decode_field(&input.invite_link_id, "inviteLinkId")?;
            actions::revoke(app(ctx), &viewer, id).await
        };
        let (link, user_errors) = payload(outcome.await)?;
        Ok(InviteLinkPayload { invite_link: link.map(Into::into), user_errors })
    }

    /// Joins the group of an invite link. Who is in it already gets `group` together with `ALREADY_MEMBER`, and uses
    /// nothing up. Rate limited. Refused with `INVALID_TOKEN` (unknown, expired, revoked, used up: it does not say),
    /// `LIMIT_REACHED`.
    async fn join_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The code of the link.")] input: JoinGroupInput,
    ) -> async_graphql::Result<GroupPayload> {
        let viewer = viewer(ctx)?;
        let outcome = actions::join(app(ctx), &viewer, &input.code).await;
        forget_loaded(ctx);
        let (joined, mut user_errors) = payload(outcome)?;
        let group = joined.map(|joined| match joined {
            Joined::In(group) => Group::new(group),
            Joined::Already(group) => {
                user_errors.push(Refusal::new(UserErrorCode::AlreadyMember, "You are in this group already."));
                Group::new(group)
            }
        });
        Ok(GroupPayload::new(group, user_errors))
    }
}
