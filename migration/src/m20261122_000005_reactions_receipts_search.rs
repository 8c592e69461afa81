//! Reactions, the switch of read receipts, and the index of message search.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(reaction()).await?;
        let by_user = Index::create().name("reaction_user").table("reaction").col("user_id").to_owned();
        manager.create_index(by_user).await?;
        let read_receipts = ColumnDef::new("read_receipts").boolean().not_null().default(true).take();
        manager.alter_table(Table::alter().table("account").add_column(read_receipts).to_owned()).await?;
        let special = match manager.get_database_backend() {
            DatabaseBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        for statement in special.iter().chain(COMMON) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DatabaseBackend::Sqlite {
            // Before the table whose rows its trigger follows.
            manager.get_connection().execute_unprepared("DROP TRIGGER message_search_gone").await?;
            manager.drop_table(Table::drop().table("message_words").to_owned()).await?;
        }
        for table in ["search_progress", "message_search", "reaction"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        manager.alter_table(Table::alter().table("account").drop_column("read_receipts").to_owned()).await
    }
}

/// How far the log has been indexed: see `messages::search`. It starts at the beginning, so that what was written
/// before there was an index is indexed too.
const COMMON: &[&str] = &[
    "CREATE TABLE search_progress (
        id smallint PRIMARY KEY, done bigint NOT NULL, next_bound bigint NOT NULL, next_xmax bigint NOT NULL)",
    "INSERT INTO search_progress VALUES (1, 0, 0, 0)",
];

/// A table beside the messages, so that a send writes no index of words.
const POSTGRES: &[&str] = &[
    "CREATE TABLE message_search (
        message_id uuid PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
        conversation_id uuid NOT NULL, version bigint NOT NULL, document tsvector NOT NULL)",
    "CREATE INDEX message_search_document ON message_search USING gin (document)",
];

/// The row ids of `message_words` are those of `message_search`, which grow with commits: the newest come first without
/// sorting.
const SQLITE: &[&str] = &[
    "CREATE TABLE message_search (
        id integer PRIMARY KEY,
        message_id uuid_text NOT NULL UNIQUE REFERENCES message (id) ON DELETE CASCADE,
        conversation_id uuid_text NOT NULL, version bigint NOT NULL)",
    "CREATE VIRTUAL TABLE message_words USING fts5 (
        body, scope, content = '', contentless_delete = 1, tokenize = 'ascii')",
    "CREATE TRIGGER message_search_gone AFTER DELETE ON message_search
     BEGIN DELETE FROM message_words WHERE rowid = old.id; END",
];

fn reaction() -> TableCreateStatement {
    Table::create()
        .table("reaction")
        .col(ColumnDef::new("message_id").uuid().not_null())
        .col(ColumnDef::new("emoji").string_len(64).not_null())
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("place").big_integer().not_null())
        .col(ColumnDef::new("created_at").big_integer().not_null())
        .primary_key(Index::create().col("message_id").col("emoji").col("user_id"))
        .foreign_key(
            ForeignKey::create()
                .from("reaction", "message_id")
                .to("message", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .foreign_key(ForeignKey::create().from("reaction", "user_id").to("user", "id"))
        .to_owned()
}
