//! Worlds for the database stories of users, friends and invites: an [`App`] on a database of its own, people in it,
//! and an eye on the event log.

use std::{collections::HashMap, net::Ipv4Addr, sync::Arc, time::Duration};

use async_graphql::{EmptySubscription, MergedObject, Request, Schema, Variables};
use clap::Parser;
use entity::{SessionId, UserId, account, event, user};
use parking_lot::Mutex;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::{
    app::{self, App},
    auth::{Caller, RequestContext, Viewer},
    clock::Clock,
    config::{Config, DatabaseUrl},
    graphql::CurrentLoaders,
};

/// What a story can ask: the fields of `Viewer` are at the root.
#[derive(MergedObject, Default)]
pub struct Query(
    crate::users::graphql::UserQuery,
    crate::friends::graphql::ViewerFriends,
    crate::invites::graphql::ViewerInvites,
);

pub type TestSchema = Schema<Query, crate::graphql::Mutation, EmptySubscription>;

pub struct World {
    pub app: Arc<App>,
    pub schema: TestSchema,
    /// How far the event log was read for each person.
    told: Mutex<HashMap<UserId, i64>>,
    _files: tempfile::TempDir,
}

impl World {
    /// One on SQLite; one on PostgreSQL too where `KITH_TEST_POSTGRES_URL` names a server.
    pub async fn each() -> Vec<Self> {
        let mut worlds = vec![Self::sqlite().await];
        worlds.extend(Self::postgres().await);
        worlds
    }

    pub async fn sqlite() -> Self {
        let files = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", files.path().join("kith.db").display());
        Self::on(&url, files).await
    }

    pub async fn postgres() -> Option<Self> {
        let server = std::env::var("KITH_TEST_POSTGRES_URL").ok()?;
        let name = format!("kith_people_{}", Clock.new_id::<UserId>().0.simple());
        let admin: DatabaseUrl = server.parse().expect("KITH_TEST_POSTGRES_URL is an address");
        let DatabaseUrl::Postgres(admin) = admin else { panic!("KITH_TEST_POSTGRES_URL is not PostgreSQL") };
        let admin = sea_orm::Database::connect(admin.expose_secret()).await.expect("PostgreSQL answers");
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a database of our own");
        let mut url = url::Url::parse(&server).expect("an address");
        url.set_path(&name);
        Some(Self::on(url.as_str(), tempfile::tempdir().expect("a temporary folder")).await)
    }

    async fn on(url: &str, files: tempfile::TempDir) -> Self {
        #[derive(Parser)]
        struct Options {
            #[command(flatten)]
            config: Config,
        }
        let secret = "a-secret-of-at-least-thirty-two-bytes";
        let arguments = ["kith", "--database-url", url, "--jwt-secret", secret, "--rate-limits", "off"];
        let config = Options::parse_from(arguments).config;
        let app = app::build(config).await.expect("builds");
        let schema = Schema::build(Query::default(), crate::graphql::Mutation::default(), EmptySubscription).finish();
        Self { app, schema, told: Mutex::default(), _files: files }
    }

    /// Makes somebody who has not opted in to discovery.
    pub async fn user(&self, name: &str) -> Viewer {
        self.make_user(name, false).await
    }

    pub async fn discoverable_user(&self, name: &str) -> Viewer {
        self.make_user(name, true).await
    }

    async fn make_user(&self, name: &str, discoverable: bool) -> Viewer {
        let id: UserId = self.app.clock.new_id();
        let row = user::ActiveModel {
            id: Set(id),
            username: Set(name.to_owned()),
            display_name: Set(name.to_uppercase()),
            discoverable: Set(discoverable),
            created_at: Set(self.app.clock.now()),
        };
        row.insert(self.app.db.writer()).await.expect("a user");
        let account = account::ActiveModel {
            user_id: Set(id),
            email: Set(format!("{name}@example.org")),
            email_folded: Set(format!("{name}@example.org")),
            email_verified_at: Set(None),
            phone: Set(None),
            password_hash: Set("nobody signs in".into()),
            read_receipts: Set(true),
        };
        account.insert(self.app.db.writer()).await.expect("an account");
        Viewer::proven(id, self.app.clock.new_id::<SessionId>())
    }

    /// What the event log has for somebody since the last question, in order.
    pub async fn heard_by(&self, viewer: &Viewer) -> Vec<&'static str> {
        use event::{Column, Entity};
        let after = self.told.lock().get(&viewer.user_id()).copied().unwrap_or(0);
        let query = Entity::find().filter(Column::ConversationId.is_null()).filter(Column::UserId.eq(viewer.user_id()));
        let query = query.filter(Column::Id.gt(after)).order_by_asc(Column::Id);
        let rows = query.all(self.app.db.read()).await.expect("reads the log");
        if let Some(row) = rows.last() {
            self.told.lock().insert(viewer.user_id(), row.id);
        }
        let name = |row: &event::Model| match row.kind {
            event::Kind::InviteChanged => "invite",
            event::Kind::FriendshipChanged => "friendship",
            event::Kind::ConversationJoined => "joined",
            event::Kind::ConversationRemoved => "removed",
            _ => "other",
        };
        rows.iter().map(name).collect()
    }

    /// Runs an operation; answers `data`.
    pub async fn ask(&self, viewer: &Viewer, query: &str, variables: Value) -> Value {
        let (data, errors) = self.try_ask(Some(viewer), query, variables).await;
        assert!(errors.is_empty(), "{query}: {errors:?}");
        data
    }

    pub async fn try_ask(&self, viewer: Option<&Viewer>, query: &str, variables: Value) -> (Value, Vec<String>) {
        let caller = match viewer {
            Some(viewer) => Caller::SignedIn { viewer: *viewer, expires_at: self.app.clock.now().plus_seconds(900) },
            None => Caller::Anonymous,
        };
        let context = RequestContext {
            caller,
            request_id: "test".into(),
            client_ip: Ipv4Addr::LOCALHOST.into(),
            user_agent: None,
        };
        let request = Request::new(query)
            .variables(Variables::from_json(variables))
            .data(Arc::clone(&self.app))
            .data(context)
            .data(CurrentLoaders::new(&self.app));
        let response = tokio::time::timeout(Duration::from_secs(10), self.schema.execute(request)).await;
        let response = response.expect("answers in time");
        let errors = response.errors.into_iter().map(|error| error.message).collect();
        (response.data.into_json().expect("is JSON"), errors)
    }
}
