//! Finding messages by their words.
//!
//! | what | how |
//! | --- | --- |
//! | found | messages that have all words of the [`query`], in conversations that the viewer is a member of now |
//! | never found | deleted messages; edited ones by words that they no longer have |
//! | order | newest first, by the log; a page continues below its cursor |
//! | bounded | the query's length and words, the time of a search, how often somebody searches |
//!
//! The index is a table beside the messages ([`index`]), so that a send pays nothing for it. It is fed from the event
//! log: by a task every few seconds, and by each search before it looks, so that what was committed before a search is
//! found by it. A search does only so much of that: while a long backlog is indexed (after the migration that made the
//! index), the newest messages are the last to be found.

pub mod index;
mod postgres;
pub mod query;
mod sqlite;

use std::time::Duration;

use entity::{ConversationId, MessageId, UserId, member};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use self::query::SearchQuery;
use crate::{
    app::App,
    auth::Viewer,
    conversations::access::Reader,
    error::Error,
    graphql::pagination::{CursorKey, Page, PageRequest},
    rate_limits::Action,
};

/// The statements that find, for whoever wants to see how the database goes about it.
pub use self::{
    postgres::{FIND as FIND_ON_POSTGRES, PLAN as PLAN_ON_POSTGRES},
    sqlite::FIND as FIND_ON_SQLITE,
};

/// How long the database may look.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Somebody in more conversations is searched for among all messages, and what is not theirs is left out then.
const MAX_SCOPES: u64 = 100;

/// A place in the list of what was found: that of the sending in the log, where a conversation's messages come in the
/// order of their `sequence`. On PostgreSQL it is the event's id, on SQLite the row of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(i64);

impl CursorKey for Place {
    fn to_text(&self) -> String {
        self.0.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// What one search is for. Membership is part of the database's query, whatever the scopes are.
struct Search<'a> {
    query: &'a SearchQuery,
    user_id: UserId,
    /// The conversations to look in; none: wherever the person is a member.
    scopes: Option<Vec<ConversationId>>,
    after: Option<Place>,
    limit: i64,
}

/// A page of the messages that the viewer finds, newest first; in one conversation, if one is given.
pub async fn search(
    app: &App,
    viewer: &Viewer,
    query: &SearchQuery,
    within: Option<&Reader>,
    page: &PageRequest<Place>,
) -> Result<Page<(Place, MessageId)>, Error> {
    let user_id = viewer.user_id();
    app.rate_limits.check(Action::SearchMessages, &user_id.0.to_string()).await?;
    app.search_index.catch_up(&app.db).await?;
    let scopes = match within {
        Some(reader) => Some(vec![reader.conversation().id]),
        None => scopes_of(app, user_id).await?,
    };
    if scopes.as_ref().is_some_and(Vec::is_empty) {
        return Ok(page.page(Vec::new()));
    }
    let search = Search { query, user_id, scopes, after: page.after, limit: page.limit() as i64 };
    let found = match app.db.is_postgres() {
        true => postgres::find(app.db.read().get_postgres_connection_pool(), &search).await?,
        false => sqlite::find(app.db.read().get_sqlite_connection_pool(), &search).await?,
    };
    Ok(page.page(found))
}

/// The conversations that somebody is in, unless they are many.
async fn scopes_of(app: &App, user_id: UserId) -> Result<Option<Vec<ConversationId>>, Error> {
    let scopes: Vec<ConversationId> = member::Entity::find()
        .select_only()
        .column(member::Column::ConversationId)
        .filter(member::Column::UserId.eq(user_id))
        .limit(MAX_SCOPES + 1)
        .into_tuple()
        .all(app.db.read())
        .await?;
    Ok((scopes.len() as u64 <= MAX_SCOPES).then_some(scopes))
}

fn too_slow() -> Error {
    Error::bad_input("This search takes too long. Use more or rarer words, or search in one conversation.")
}
