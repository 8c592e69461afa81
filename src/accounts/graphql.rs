//! The account on the wire.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{Context, ID, InputObject, MergedObject, Object, SimpleObject};
use entity::{SessionId, account, session, user};

use super::{
    actions::{self, NewAccount, ProfileChanges},
    deletion, recovery,
    sessions::{self, SignedIn},
    store::AccountOf,
};
use crate::{
    app::App,
    auth,
    conversations::{MAX_GROUP_MEMBERS, graphql::ViewerConversations},
    error::{Error, Failure, Refusal, payload},
    exports::graphql::ViewerExports,
    friends::graphql::ViewerFriends,
    graphql::{
        act_as, app, forget_loaded,
        guard::Limits,
        ids::{GlobalId, ViewerId, decode_field},
        loaders,
        pagination::MAX_PAGE_SIZE,
        request,
        scalars::DateTime,
        viewer,
    },
    invites::graphql::ViewerInvites,
    messages::MAX_BODY_CHARACTERS,
    rate_limits::{Action, Rule},
    users::graphql::User,
};

/// Grows by one with every change of the schema.
const FEATURE_LEVEL: i32 = 1;

// ------------------------------------------------------------------ what can be asked

#[derive(Default)]
pub struct AccountQuery;

#[Object]
impl AccountQuery {
    /// What this server is and can do; no sign-in needed.
    async fn server(&self) -> ServerInfo {
        ServerInfo { version: env!("CARGO_PKG_VERSION"), feature_level: FEATURE_LEVEL }
    }

    /// The signed-in account. Null when the request carries no access token; with a token that has expired or was
    /// revoked it is the error UNAUTHENTICATED: call `refreshSession`, then ask again.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<Result<Viewer, Error>> {
        match viewer(ctx) {
            Ok(viewer) => Some(Ok(Viewer::new(viewer))),
            Err(error) => match request(ctx).caller {
                auth::Caller::Anonymous => None,
                _ => Some(Err(error)),
            },
        }
    }
}

/// What this server is and can do.
pub struct ServerInfo {
    version: &'static str,
    feature_level: i32,
}

/// What this server is and can do.
#[Object]
impl ServerInfo {
    /// The program's version, e.g. `1.2.0`. To decide what a client may ask, use `featureLevel`.
    async fn version(&self) -> &str {
        self.version
    }

    /// Grows by one with every change of this schema, so that a client can tell what it may ask.
    async fn feature_level(&self) -> i32 {
        self.feature_level
    }

    /// The limits in force, so that no client has to hard-code them.
    async fn limits(&self, ctx: &Context<'_>) -> ServerLimits {
        let Limits { max_depth, max_complexity, .. } = Limits::default();
        ServerLimits {
            max_page_size: int(MAX_PAGE_SIZE),
            max_message_length: int(MAX_BODY_CHARACTERS),
            max_group_members: MAX_GROUP_MEMBERS,
            max_depth: int(max_depth),
            max_complexity: int(max_complexity),
            access_token_seconds: int(app(ctx).config.auth.access_token_seconds),
            rate_limits: Action::ALL.into_iter().filter_map(|action| RateLimit::of(app(ctx), action)).collect(),
        }
    }
}

/// GraphQL's integers have 32 bits.
fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// The limits in force, so that no client has to hard-code them.
#[derive(SimpleObject)]
pub struct ServerLimits {
    /// Most nodes on one page: the ceiling of `first` and `last`.
    max_page_size: i32,
    /// Most characters (Unicode code points) of a message's body.
    max_message_length: i32,
    /// Most members of a group.
    max_group_members: i32,
    /// How deep fields of a document may be nested, fragments included.
    max_depth: i32,
    /// What an operation may cost: each field counts one, times the sizes of the pages around it.
    max_complexity: i32,
    /// Seconds that an access token lives. Refresh a little before.
    access_token_seconds: i32,
    /// How often actions may happen. An action that is not listed is not limited.
    rate_limits: Vec<RateLimit>,
}

/// How often an action may happen. It is an allowance that refills steadily: `limit` may come at once, and one more in
/// each `limit`th part of the period. What is one too many answers RATE_LIMITED, with the action, the limit and the
/// seconds to wait in `extensions`; over HTTP, the headers `RateLimit` and `RateLimit-Policy` tell what is left.
#[derive(SimpleObject)]
pub struct RateLimit {
    /// What is counted.
    action: Action,
    /// How many may come in one period.
    limit: i32,
    /// Seconds until an allowance that is used up is full again.
    period_seconds: i32,
}

impl RateLimit {
    fn of(app: &App, action: Action) -> Option<Self> {
        let Rule { limit, period } = app.rate_limits.rule(action)?;
        Some(Self { action, limit: int(limit), period_seconds: int(period.as_secs()) })
    }
}

// ------------------------------------------------------------------ the viewer

// Put together from the slices: each adds its own part here, made from the proof of being signed in.
/// The signed-in account: everything private lives here, so that `User` has no private field to leak.
#[derive(Clone, MergedObject)]
pub struct Viewer(AccountFields, ViewerFriends, ViewerInvites, ViewerConversations, ViewerExports);

impl Viewer {
    pub fn new(viewer: auth::Viewer) -> Self {
        Self(AccountFields { viewer }, ViewerFriends, ViewerInvites, ViewerConversations, ViewerExports)
    }

    /// What the interface `Node` asks for.
    pub async fn id(&self, _ctx: &Context<'_>) -> async_graphql::Result<ID> {
        Ok(self.0.global_id())
    }
}

/// The part of `Viewer` that is this slice's.
#[derive(Clone)]
pub struct AccountFields {
    viewer: auth::Viewer,
}

impl AccountFields {
    fn global_id(&self) -> ID {
        ViewerId(self.viewer.user_id().0).encode()
    }

    async fn account(&self, ctx: &Context<'_>) -> Result<Arc<account::Model>, Error> {
        loaders(ctx).load(AccountOf(self.viewer.user_id())).await?.ok_or(actions::GONE)
    }

    async fn user_row(&self, ctx: &Context<'_>) -> Result<Arc<user::Model>, Error> {
        loaders(ctx).load(self.viewer.user_id()).await?.ok_or(actions::GONE)
    }
}

#[Object]
impl AccountFields {
    /// Opaque and stable, e.g. `viewer_01h455vb4pex5vsknk084sn02q`; not the id of `user`.
    pub async fn id(&self) -> ID {
        self.global_id()
    }

    /// The public half: how others see this account.
    async fn user(&self, ctx: &Context<'_>) -> Result<User, Error> {
        self.user_row(ctx).await?;
        User::load(ctx, self.viewer.user_id()).await
    }

    /// The address that mails go to. Nobody else sees it.
    async fn email(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.account(ctx).await?.email.clone())
    }

    /// Whether the account has shown that it receives mail at `email`.
    async fn email_verified(&self, ctx: &Context<'_>) -> Result<bool, Error> {
        Ok(self.account(ctx).await?.email_verified_at.is_some())
    }

    /// In E.164, e.g. `+4930123456`; null if none was given. Nobody else sees it.
    async fn phone(&self, ctx: &Context<'_>) -> Option<Result<String, Error>> {
        self.account(ctx).await.map(|account| account.phone.clone()).transpose()
    }

    /// Whether `searchUsers` finds this account. Off until it is switched on by `updateProfile`.
    async fn discoverable(&self, ctx: &Context<'_>) -> Result<bool, Error> {
        Ok(self.user_row(ctx).await?.discoverable)
    }

    /// Whether others see how far this account has read, and this account how far others have: one is not to be had
    /// without the other. On until it is switched off by `updateProfile`. Off, unread counts work as before.
    async fn read_receipts(&self, ctx: &Context<'_>) -> Result<bool, Error> {
        Ok(self.account(ctx).await?.read_receipts)
    }

    /// The devices that are signed in, newest first; 50 at most.
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Vec<Session>, Error> {
        let rows = sessions::list(app(ctx), &self.viewer).await?;
        Ok(rows.into_iter().map(|row| Session::new(row, &self.viewer)).collect())
    }
}

/// `node(id)` for the viewer's own id; nothing for anybody else's.
pub fn viewer_node(viewer: &auth::Viewer, id: ViewerId) -> Option<Viewer> {
    (viewer.user_id().0 == id.0).then(|| Viewer::new(*viewer))
}

/// A device that is signed in.
#[derive(Clone, Debug)]
pub struct Session {
    row: Arc<session::Model>,
    current: bool,
}

impl Session {
    fn new(row: session::Model, viewer: &auth::Viewer) -> Self {
        Self { current: row.id == viewer.session_id(), row: Arc::new(row) }
    }
}

/// A device that is signed in. It signs itself out when it has not been used for some weeks.
#[Object]
impl Session {
    /// Opaque and stable, e.g. `session_01h455vb4pex5vsknk084sn02q`; for `revokeSession`.
    pub async fn id(&self) -> ID {
        self.row.id.encode()
    }

    /// When it signed in.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    /// When it signed in or refreshed its tokens last.
    async fn last_used_at(&self) -> DateTime {
        self.row.last_used_at.into()
    }

    /// How it named itself when it signed in, at most 256 characters; show it as text.
    async fn user_agent(&self) -> Option<&str> {
        self.row.user_agent.as_deref()
    }

    /// Whether it is the one that asks.
    async fn current(&self) -> bool {
        self.current
    }
}

/// `nodes(ids)` for the viewer's live sessions among them, by one statement; nothing for any other.
pub async fn session_nodes(
    app: &App,
    viewer: &auth::Viewer,
    ids: &[SessionId],
) -> Result<HashMap<SessionId, Session>, Error> {
    let rows = sessions::find(app, viewer, ids).await?;
    Ok(rows.into_iter().map(|row| (row.id, Session::new(row, viewer))).collect())
}

// ------------------------------------------------------------------ what can be changed

#[derive(Default)]
pub struct AccountMutation;

#[Object]
impl AccountMutation {
    /// Makes an account and signs in to it. It never says whether an email address is in use. A mail asks whether the
    /// address is theirs: see `verifyEmail`. Refused with `INVALID_INPUT`, `USERNAME_TAKEN`, and with `INVALID_TOKEN` for an
    /// `inviteToken` that is unknown, used, expired or revoked: leave it out then.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who they are.")] input: RegisterInput,
    ) -> Result<AuthPayload, Error> {
        let RegisterInput { username, email, password, display_name, phone, invite_token } = input;
        let form = NewAccount { username, email, password, display_name, phone, invite_token };
        AuthPayload::new(ctx, actions::register(app(ctx), request(ctx), form).await)
    }

    /// Signs in. Whether it was the name, the address or the password that was wrong is not said. After some wrong
    /// tries it answers RATE_LIMITED, with the seconds to wait in `retryAfter`.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who they say they are.")] input: LoginInput,
    ) -> Result<AuthPayload, Error> {
        AuthPayload::new(ctx, actions::login(app(ctx), request(ctx), &input.identifier, &input.password).await)
    }

    /// Buys new tokens when the access token has expired or is about to; needs no access token. The refresh token
    /// dies of it: keep the new one before using it. Using one twice ends the session on the spot, since one of the
    /// two must have been stolen, so let a device refresh once at a time.
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to trade in.")] input: RefreshSessionInput,
    ) -> Result<AuthPayload, Error> {
        AuthPayload::new(ctx, sessions::refresh(app(ctx), request(ctx), input.refresh_token).await)
    }

    /// Ends the current session: its tokens are refused at once, and its live subscriptions end.
    async fn logout(&self, ctx: &Context<'_>) -> Result<LogoutPayload, Error> {
        let (_, user_errors) = payload(sessions::logout(app(ctx), &viewer(ctx)?).await)?;
        Ok(LogoutPayload { user_errors })
    }

    /// Ends one of the viewer's sessions, e.g. that of a lost device: its tokens are refused at once, and its live
    /// subscriptions end. Ending the current one is the same as `logout`.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RevokeSessionInput,
    ) -> Result<RevokeSessionPayload, Error> {
        let viewer = viewer(ctx)?;
        let revoked = match decode_field(&input.session_id, "sessionId") {
            Ok(session_id) => sessions::revoke(app(ctx), &viewer, session_id).await,
            Err(refusal) => Err(refusal.into()),
        };
        let (session_id, user_errors) = payload(revoked)?;
        Ok(RevokeSessionPayload { session_id: session_id.map(GlobalId::encode), user_errors })
    }

    /// Changes the viewer's password. Their other sessions end at once, everywhere; this one stays. Refused with
    /// `INVALID_CREDENTIALS` for the wrong current password, with `INVALID_INPUT` for a new one that is too short, too
    /// long or too common. After some wrong tries it answers RATE_LIMITED.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The old and the new one.")] input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload, Error> {
        let viewer = viewer(ctx)?;
        let ChangePasswordInput { current_password, new_password } = input;
        let changed = recovery::change_password(app(ctx), &viewer, &current_password, &new_password).await;
        let (_, user_errors) = payload(changed)?;
        Ok(ChangePasswordPayload { user_errors })
    }

    /// Asks for a mail with a link to a new password. The answer is the same for every address, and says nothing of
    /// accounts: a mail comes to the account that has verified the address; while none has, to the one that claimed it
    /// first, at the address as that account has it. Limited by address and by client. Refused with `INVALID_INPUT` for
    /// what is no address.
    async fn request_password_reset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where the mail shall go.")] input: RequestPasswordResetInput,
    ) -> Result<RequestPasswordResetPayload, Error> {
        let (_, user_errors) = payload(recovery::request_reset(app(ctx), request(ctx), &input.email).await)?;
        Ok(RequestPasswordResetPayload { user_errors })
    }

    /// Chooses a new password by the token from the mail, which works once and for an hour. Ends all sessions of the
    /// account: sign in afterwards. Refused with `INVALID_TOKEN` (unknown, used or expired), and with `INVALID_INPUT` for
    /// a bad password, which leaves the token as it is.
    async fn reset_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token and the new password.")] input: ResetPasswordInput,
    ) -> Result<ResetPasswordPayload, Error> {
        let ResetPasswordInput { token, new_password } = input;
        let reset = recovery::reset_password(app(ctx), request(ctx), &token, &new_password).await;
        let (_, user_errors) = payload(reset)?;
        Ok(ResetPasswordPayload { user_errors })
    }

    /// Shows, by the token from the mail, that the account's address belongs to who reads its mailbox. The token works
    /// once and for 48 hours, and needs no sign-in. Refused with `INVALID_TOKEN` (unknown, used or expired: ask for another
    /// by `requestEmailVerification`), and with `EMAIL_TAKEN` when another account has verified the address.
    async fn verify_email(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token.")] input: VerifyEmailInput,
    ) -> Result<VerifyEmailPayload, Error> {
        let (verified, user_errors) = payload(recovery::verify_email(app(ctx), request(ctx), &input.token).await)?;
        forget_loaded(ctx);
        let viewer = verified.and_then(|()| request(ctx).caller.viewer().ok()).map(Viewer::new);
        Ok(VerifyEmailPayload { viewer, user_errors })
    }

    /// Sends another mail with a token for `verifyEmail` to the viewer's address, at most one in ten minutes after the
    /// first few. Where the address is verified already, nothing happens.
    async fn request_email_verification(&self, ctx: &Context<'_>) -> Result<RequestEmailVerificationPayload, Error> {
        let (_, user_errors) = payload(recovery::request_verification(app(ctx), &viewer(ctx)?).await)?;
        Ok(RequestEmailVerificationPayload { user_errors })
    }

    /// Changes what is given and leaves the rest. Friends, and the viewer's other devices, hear of a new name by
    /// `FriendshipChanged`; a switch of `readReceipts` is heard as `MemberChanged`, in the 1,000 open conversations that
    /// were active last. What it makes of the others' read positions, the viewer fetches anew. Refused with `INVALID_INPUT` and `USERNAME_TAKEN`.
    async fn update_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change; what is left out stays as it is.")] input: UpdateProfileInput,
    ) -> Result<UpdateProfilePayload, Error> {
        let viewer = viewer(ctx)?;
        let UpdateProfileInput { username, display_name, phone, discoverable, read_receipts } = input;
        let changes = ProfileChanges { username, display_name, phone, discoverable, read_receipts };
        let (profile, user_errors) = payload(actions::update_profile(app(ctx), &viewer, changes).await)?;
        if let Some(profile) = profile {
            forget_loaded(ctx);
            loaders(ctx).prime(viewer.user_id(), Arc::new(profile.user)).await;
            loaders(ctx).prime(AccountOf(viewer.user_id()), Arc::new(profile.account)).await;
            return Ok(UpdateProfilePayload { viewer: Some(Viewer::new(viewer)), user_errors });
        }
        Ok(UpdateProfilePayload { viewer: None, user_errors })
    }

    /// Deletes the viewer's account at once and for good: every device is signed out, friendships, blocks, invites and
    /// memberships end, and the username is free. Their messages and reactions stay in the histories of others, sent by
    /// an account called "Deleted account": delete those messages first that should not stay. Refused with LAST_OWNER
    /// while the viewer owns a group that others are in; a group in which they are alone is deleted too.
    async fn delete_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "That it is them.")] input: DeleteAccountInput,
    ) -> Result<DeleteAccountPayload, Error> {
        let (_, user_errors) = payload(deletion::delete(app(ctx), &viewer(ctx)?, &input.password).await)?;
        Ok(DeleteAccountPayload { user_errors })
    }
}

/// The account to delete is the viewer's.
#[derive(InputObject)]
pub struct DeleteAccountInput {
    /// The account's password, again.
    #[graphql(secret)]
    password: String,
}

/// A new account.
#[derive(InputObject)]
pub struct RegisterInput {
    /// Public and unique without regard to case: 3–32 of a–z, 0–9, `_` and `.`; it cannot begin with `deleted.`,
    /// as the names of deleted accounts do. It can be changed later.
    username: String,
    /// Where mails go, at most 254 characters. Nobody else sees it.
    email: String,
    /// 10–128 characters of any kind. Refused is what is, but for case, one of the most common passwords.
    #[graphql(secret)]
    password: String,
    /// What others read, 1–64 characters; the username when left out.
    display_name: Option<String>,
    /// With `+` and the country's code, e.g. `+49 30 123456`. Nobody else sees it.
    phone: Option<String>,
    /// The token from the mail of an invite: the invite is then one to the new account, to be accepted by `acceptInvite`.
    /// When that mail went to `email`, the address counts as verified.
    #[graphql(secret)]
    invite_token: Option<String>,
}

/// A password to change.
#[derive(InputObject)]
pub struct ChangePasswordInput {
    /// The password as it is.
    #[graphql(secret)]
    current_password: String,
    /// 10–128 characters of any kind. Refused is what is, but for case, one of the most common passwords.
    #[graphql(secret)]
    new_password: String,
}

/// An address to send the way to a new password to.
#[derive(InputObject)]
pub struct RequestPasswordResetInput {
    /// In any case.
    email: String,
}

/// A new password, and the right to choose it.
#[derive(InputObject)]
pub struct ResetPasswordInput {
    /// From the link in the mail.
    #[graphql(secret)]
    token: String,
    /// 10–128 characters of any kind. Refused is what is, but for case, one of the most common passwords.
    #[graphql(secret)]
    new_password: String,
}

/// A mailbox that was read.
#[derive(InputObject)]
pub struct VerifyEmailInput {
    /// From the link in the mail.
    #[graphql(secret)]
    token: String,
}

/// Who signs in.
#[derive(InputObject)]
pub struct LoginInput {
    /// A username or an email address, in any case.
    identifier: String,
    /// The account's password.
    #[graphql(secret)]
    password: String,
}

/// A session to go on with.
#[derive(InputObject)]
pub struct RefreshSessionInput {
    /// The newest one that the session was given.
    #[graphql(secret)]
    refresh_token: String,
}

/// A session to end.
#[derive(InputObject)]
pub struct RevokeSessionInput {
    /// The `id` of one of `viewer.sessions`.
    session_id: ID,
}

/// What to change; what is null or left out stays as it is.
#[derive(InputObject)]
pub struct UpdateProfileInput {
    /// What others read, 1–64 characters.
    display_name: Option<String>,
    /// A new username: 3–32 of a–z, 0–9, `_` and `.`; it cannot begin with `deleted.`, as the names of
    /// deleted accounts do. The old one becomes free at once.
    username: Option<String>,
    /// With `+` and the country's code, e.g. `+49 30 123456`; an empty text removes the number.
    phone: Option<String>,
    /// Whether `searchUsers` finds this account.
    discoverable: Option<bool>,
    /// Whether others see how far this account has read, and this account how far others have.
    read_receipts: Option<bool>,
}

/// Tokens, and who they are for. Tokens are null when `userErrors` is not empty.
#[derive(SimpleObject)]
pub struct AuthPayload {
    /// For the header `Authorization: Bearer …` and for `connection_init` of a socket.
    access_token: Option<String>,
    /// For `refreshSession`, once. Store it like a password.
    refresh_token: Option<String>,
    /// When `accessToken` dies; refresh a little before.
    access_token_expires_at: Option<DateTime>,
    /// Who has signed in.
    viewer: Option<Viewer>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

impl AuthPayload {
    fn new(ctx: &Context<'_>, outcome: Result<SignedIn, Failure>) -> Result<Self, Error> {
        let (signed_in, user_errors) = payload(outcome)?;
        let Some(signed_in) = signed_in else {
            return Ok(Self {
                access_token: None,
                refresh_token: None,
                access_token_expires_at: None,
                viewer: None,
                user_errors,
            });
        };
        act_as(ctx, signed_in.viewer);
        Ok(Self {
            access_token: Some(signed_in.access_token),
            refresh_token: Some(signed_in.refresh_token),
            access_token_expires_at: Some(signed_in.access_token_expires_at.into()),
            viewer: Some(Viewer::new(signed_in.viewer)),
            user_errors,
        })
    }
}

/// What came of it.
#[derive(SimpleObject)]
pub struct DeleteAccountPayload {
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// What came of it.
#[derive(SimpleObject)]
pub struct LogoutPayload {
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// The session that ended.
#[derive(SimpleObject)]
pub struct RevokeSessionPayload {
    /// The id that was given; null when it was refused. Remove it from the cached list.
    session_id: Option<ID>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// What came of it.
#[derive(SimpleObject)]
pub struct ChangePasswordPayload {
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// What came of it, which does not tell whether the address has an account.
#[derive(SimpleObject)]
pub struct RequestPasswordResetPayload {
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// What came of it.
#[derive(SimpleObject)]
pub struct ResetPasswordPayload {
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// What came of it.
#[derive(SimpleObject)]
pub struct VerifyEmailPayload {
    /// Who asked, as they are now; null when nobody is signed in, and when it was refused.
    viewer: Option<Viewer>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// What came of it.
#[derive(SimpleObject)]
pub struct RequestEmailVerificationPayload {
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}

/// The account as it is now.
#[derive(SimpleObject)]
pub struct UpdateProfilePayload {
    /// Null when it was refused.
    viewer: Option<Viewer>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}
