//! Invites on the wire.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, OneofObject, SimpleObject};
use entity::{ConversationId, InviteId, Timestamp, invite};
use uuid::Uuid;

use super::{
    access::{self, VisibleInvite},
    actions::{self, Changed},
    store::{self, Filter},
    types::{InviteDirection, InviteKind, InviteStatus},
};
use crate::{
    connection,
    conversations::{
        self,
        graphql::{Conversation, Group},
    },
    error::{Error, Outcome, Refusal, payload},
    graphql::{
        app, forget_loaded,
        ids::{GlobalId, decode_field, decode_path},
        loaders,
        pagination::{Direction, PageArguments, PageRequest, encode_cursor, page_info_of},
        request,
        scalars::DateTime,
        viewer,
    },
    users::graphql::User,
};

/// An offer that waits for an answer: to be friends, to join a group, or to come to this server.
#[derive(Clone, Debug)]
pub struct Invite(Arc<invite::Model>);

impl From<VisibleInvite> for Invite {
    fn from(invite: VisibleInvite) -> Self {
        Self(invite.into_row())
    }
}

/// An offer that waits for an answer: to be friends, to join a group, or to come to this server.
#[Object]
impl Invite {
    /// Opaque and stable, e.g. `invite_01h455vb4pex5vsknk084sn02q`.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// What it is to.
    async fn kind(&self) -> InviteKind {
        self.0.kind.into()
    }

    /// Where it is in its life; `EXPIRED` from the moment of `expiresAt` on.
    async fn status(&self, ctx: &Context<'_>) -> InviteStatus {
        access::status_of(&self.0, app(ctx).clock.now())
    }

    /// Who sent it.
    async fn inviter(&self, ctx: &Context<'_>) -> async_graphql::Result<User> {
        Ok(User::load(ctx, self.0.inviter_id).await?)
    }

    /// To whom it is; null for an email invite that nobody has claimed yet.
    async fn invitee(&self, ctx: &Context<'_>) -> Option<async_graphql::Result<User>> {
        let invitee_id = self.0.invitee_id?;
        Some(User::load(ctx, invitee_id).await.map_err(Into::into))
    }

    /// The address that an email invite went to. Only the inviter sees it; null for everyone else and for other kinds.
    async fn email(&self, ctx: &Context<'_>) -> Option<async_graphql::Result<String>> {
        let email = self.0.email.as_ref()?;
        match viewer(ctx) {
            Ok(viewer) if viewer.user_id() == self.0.inviter_id => Some(Ok(email.clone())),
            Ok(_) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The group to join on acceptance; set for `GROUP`. Null for everybody who is not in the group, but the invitee of
    /// a pending invite, who sees its name, its description and how many are in it, here and by `node`.
    async fn group(&self, ctx: &Context<'_>) -> Option<async_graphql::Result<Group>> {
        let group_id = self.0.group_id?;
        let find = async {
            let viewer = viewer(ctx)?;
            if let Some(conversation) = conversations::graphql::load(ctx, group_id).await? {
                return Ok(conversation.into_group());
            }
            Ok(access::preview(app(ctx), &loaders(ctx), &viewer, group_id).await?.map(Group::preview))
        };
        find.await.map_err(|error: Error| error.into()).transpose()
    }

    /// Words of the inviter.
    async fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// When it was sent.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When it can no longer be accepted.
    async fn expires_at(&self) -> DateTime {
        self.0.expires_at.into()
    }

    /// When the invitee accepted or rejected it; null until then.
    async fn responded_at(&self) -> Option<DateTime> {
        self.0.responded_at.map(Into::into)
    }
}

connection!(
    InviteConnection,
    InviteEdge,
    Invite,
    with {
        /// How many invites there are in all, under the same filter.
        total_count: i32,
    }
);

/// The viewer's invites.
#[derive(Clone, Default)]
pub struct ViewerInvites;

#[Object]
impl ViewerInvites {
    /// Invites to and by the viewer, the newest first.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    async fn invites(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those to the viewer, or only those by the viewer.")] direction: Option<InviteDirection>,
        #[graphql(desc = "Only those of this kind.")] kind: Option<InviteKind>,
        #[graphql(desc = "Only those that are at this point of their life now.")] status: Option<InviteStatus>,
        #[graphql(desc = "At most this many from the start (or from `after`), up to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end (or from `before`), up to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<InviteConnection> {
        let viewer_id = viewer(ctx)?.user_id();
        let request: PageRequest<(Timestamp, Uuid)> =
            PageArguments { first, after, last, before }.resolve(Direction::Forward)?;
        let app = app(ctx);
        let (filter, now) = (Filter { direction, kind, status }, app.clock.now());
        let page = store::page(&app.db, viewer_id, &filter, now, &request).await?;
        let total_count = match ctx.look_ahead().field("totalCount").exists() {
            true => store::count(&app.db, viewer_id, &filter, now).await?,
            false => 0,
        };
        let edge = |row: invite::Model| InviteEdge {
            cursor: encode_cursor(&(row.created_at, row.id.0)),
            node: Invite(Arc::new(row)),
        };
        let edges: Vec<InviteEdge> = page.rows.into_iter().map(edge).collect();
        Ok(InviteConnection {
            page_info: page_info_of(page.has_next_page, page.has_previous_page, &edges, |edge| &edge.cursor),
            edges,
            total_count: i32::try_from(total_count).unwrap_or(i32::MAX),
        })
    }
}

/// Sending and answering invites.
#[derive(Default)]
pub struct InviteMutation;

#[Object]
impl InviteMutation {
    /// Invites somebody. When their invite to the viewer is on its way already, that one is accepted and returned with
    /// the `conversation`. Into a group, its owner and admins invite. By email, the answer says nothing of whether the
    /// address has an account. Rate limited. Refused with `NOT_FOUND`, `INVALID_INPUT`, `FORBIDDEN` (unblock first, or not
    /// an admin), `ALREADY_FRIENDS`, `ALREADY_MEMBER`, `ALREADY_INVITED`, `LIMIT_REACHED`.
    async fn send_invite(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to invite, and to what.")] input: SendInviteInput,
    ) -> async_graphql::Result<InvitePayload> {
        let (app, viewer) = (app(ctx), viewer(ctx)?);
        let outcome = match input {
            SendInviteInput::Friend(FriendInviteInput { username, note }) => {
                actions::send_to_friend(app, &viewer, &username, note.as_deref()).await
            }
            SendInviteInput::Group(GroupInviteInput { group_id, username, note }) => {
                async {
                    let group_id = decode_path(&group_id, &["group", "groupId"])?;
                    actions::send_to_group(app, &viewer, group_id, &username, note.as_deref()).await
                }
                .await
            }
            SendInviteInput::Email(EmailInviteInput { email, group_id, note }) => {
                async {
                    let group_id = group_id.map(|id| decode_path(&id, &["email", "groupId"])).transpose()?;
                    actions::send_by_email(app, &viewer, &email, group_id, note.as_deref()).await
                }
                .await
            }
        };
        InvitePayload::of(ctx, outcome)
    }

    /// Says yes to an invite; what it unlocks is `conversation`. For the invitee. Refused with `NOT_FOUND`, `FORBIDDEN`,
    /// `INVITE_NOT_PENDING`, and with `LIMIT_REACHED` when the group is full.
    async fn accept_invite(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The invite.")] input: InviteActionInput,
    ) -> async_graphql::Result<InvitePayload> {
        let viewer = viewer(ctx)?;
        let outcome = async { actions::accept(app(ctx), &viewer, input.invite_id()?).await };
        InvitePayload::of(ctx, outcome.await)
    }

    /// Says no to an invite. The inviter sees it, and may send another. For the invitee. Refused with `NOT_FOUND`,
    /// `FORBIDDEN`, `INVITE_NOT_PENDING`.
    async fn reject_invite(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The invite.")] input: InviteActionInput,
    ) -> async_graphql::Result<InvitePayload> {
        let viewer = viewer(ctx)?;
        let outcome = async { actions::reject(app(ctx), &viewer, input.invite_id()?).await };
        InvitePayload::of(ctx, outcome.await)
    }

    /// Makes an email invite one to the signed-in account, by the token from the mail, which works once; it can then be
    /// accepted by `acceptInvite`. Who has no account yet gives the token to `register`. Refused with `INVALID_TOKEN`
    /// (unknown, used, expired or revoked), `FORBIDDEN` (unblock the inviter first), `INVALID_INPUT` (one's own).
    async fn claim_invite(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token.")] input: ClaimInviteInput,
    ) -> async_graphql::Result<InvitePayload> {
        let viewer = viewer(ctx)?;
        InvitePayload::of(ctx, actions::claim(app(ctx), &viewer, request(ctx), &input.token).await)
    }

    /// Takes an invite back, while it is pending. For the inviter. Refused with `NOT_FOUND`, `FORBIDDEN`,
    /// `INVITE_NOT_PENDING`.
    async fn revoke_invite(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The invite.")] input: InviteActionInput,
    ) -> async_graphql::Result<InvitePayload> {
        let viewer = viewer(ctx)?;
        let outcome = async { actions::revoke(app(ctx), &viewer, input.invite_id()?).await };
        InvitePayload::of(ctx, outcome.await)
    }
}

/// Exactly one field: what the invite is to.
#[derive(OneofObject)]
pub enum SendInviteInput {
    /// To be friends.
    Friend(FriendInviteInput),
    /// To join a group.
    Group(GroupInviteInput),
    /// To whoever reads a mailbox, to be friends; into a group too, if one is named.
    Email(EmailInviteInput),
}

/// An invite to join a group. For its owner and admins.
#[derive(InputObject)]
pub struct GroupInviteInput {
    /// `conv_…` of the group.
    group_id: ID,
    /// The exact username of the person, in any case: somebody whom `user(username)` finds.
    username: String,
    /// Words for them, at most 500 characters.
    note: Option<String>,
}

/// An invite to be friends.
#[derive(InputObject)]
pub struct FriendInviteInput {
    /// The exact username of the person, in any case. They need not be discoverable.
    username: String,
    /// Words for them, at most 500 characters.
    note: Option<String>,
}

/// An invite by mail.
#[derive(InputObject)]
pub struct EmailInviteInput {
    /// Where the mail goes. Only the viewer sees the address later.
    email: String,
    /// `conv_…` of a group to join on acceptance, too. For its owner and admins.
    group_id: Option<ID>,
    /// Words for them, at most 500 characters; in the mail, too.
    note: Option<String>,
}

/// An email invite to claim.
#[derive(InputObject)]
pub struct ClaimInviteInput {
    /// From the link in the mail.
    #[graphql(secret)]
    token: String,
}

/// Names an invite to act upon.
#[derive(InputObject)]
pub struct InviteActionInput {
    /// The invite's `id`, e.g. `invite_01h455vb4pex5vsknk084sn02q`.
    invite_id: ID,
}

impl InviteActionInput {
    fn invite_id(&self) -> Result<InviteId, Refusal> {
        decode_field(&self.invite_id, "inviteId")
    }
}

/// The invite as the change left it.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct InvitePayload {
    /// With its new `status`; null when refused.
    invite: Option<Invite>,
    #[graphql(skip)]
    conversation_id: Option<ConversationId>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

#[ComplexObject]
impl InvitePayload {
    /// What acceptance unlocked: the direct conversation or the group; null when nothing was accepted.
    async fn conversation(&self, ctx: &Context<'_>) -> Option<async_graphql::Result<Conversation>> {
        let found: Result<_, Error> = conversations::graphql::load(ctx, self.conversation_id?).await;
        found.map_err(Into::into).transpose()
    }
}

impl InvitePayload {
    fn of(ctx: &Context<'_>, outcome: Outcome<Changed>) -> async_graphql::Result<Self> {
        forget_loaded(ctx);
        let (changed, user_errors) = payload(outcome)?;
        let conversation_id = changed.as_ref().and_then(|changed| changed.conversation_id);
        Ok(Self { invite: changed.map(|changed| Invite(changed.invite)), conversation_id, user_errors })
    }
}

/// The invite, when the viewer may see it.
pub async fn load(ctx: &Context<'_>, id: InviteId) -> Result<Option<Invite>, Error> {
    let invite = access::visible_invite(app(ctx), &viewer(ctx)?, id).await?;
    Ok(invite.map(Into::into))
}
