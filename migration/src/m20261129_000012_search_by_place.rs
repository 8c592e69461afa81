//! What a search finds comes by its place in the log, and words are folded as Unicode says: all is indexed anew.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DatabaseBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        for statement in statements.iter().chain([&ANEW]) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DatabaseBackend::Postgres => POSTGRES_DOWN,
            _ => SQLITE,
        };
        for statement in statements.iter().chain([&ANEW]) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

const ANEW: &str = "UPDATE search_progress SET done = 0, next_bound = 0, next_xmax = 0";

/// The id of the event of its sending: it is taken under the conversation's lock, as `sequence` is.
const POSTGRES: &[&str] =
    &["TRUNCATE message_search", "ALTER TABLE message_search ADD COLUMN place bigint NOT NULL DEFAULT 0"];
const POSTGRES_DOWN: &[&str] = &["TRUNCATE message_search", "ALTER TABLE message_search DROP COLUMN place"];

/// Row ids grow with the log already. The words go as a whole, and not with each row.
const SQLITE: &[&str] = &[
    "DROP TRIGGER message_search_gone",
    "DROP TABLE message_words",
    "DELETE FROM message_search",
    "CREATE VIRTUAL TABLE message_words USING fts5 (
        body, scope, content = '', contentless_delete = 1, tokenize = 'ascii')",
    "CREATE TRIGGER message_search_gone AFTER DELETE ON message_search
     BEGIN DELETE FROM message_words WHERE rowid = old.id; END",
];
