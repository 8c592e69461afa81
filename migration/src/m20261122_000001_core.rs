//! People, invites, friendships, conversations, messages and the event log.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let connection = manager.get_connection();
        let special = match manager.get_database_backend() {
            DatabaseBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        for statement in COMMON.iter().chain(special) {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "event",
            "message",
            "member",
            "invite",
            "block",
            "friendship",
            "conversation",
            "refresh_token",
            "session",
            "account",
            "user",
            "instance",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// What the builders cannot say, where both databases say it alike.
const COMMON: &[&str] = &[
    // Many may claim an address, one may verify it.
    r#"CREATE UNIQUE INDEX account_verified_email ON account (email_folded) WHERE email_verified_at IS NOT NULL"#,
    // A prefix is looked for only among those who want to be found.
    r#"CREATE INDEX user_discoverable ON "user" (username) WHERE discoverable"#,
];

const POSTGRES: &[&str] = &[
    // Byte order, so that a prefix is a range of the unique index.
    r#"ALTER TABLE "user" ALTER COLUMN username TYPE varchar(32) COLLATE "C""#,
    // Rows that every send updates: leave room for heap-only updates.
    "ALTER TABLE conversation SET (fillfactor = 50)",
    "ALTER TABLE member SET (fillfactor = 70)",
    // The transaction that wrote the row: with pg_snapshot_xmin it makes a watermark that nothing
    // can still appear below. Never a bare bigserial, whose order is not the order of commits.
    "ALTER TABLE event ADD COLUMN txn bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint)",
    "CREATE INDEX event_conversation_txn ON event (conversation_id, txn)",
    "CREATE INDEX event_personal_user_txn ON event (user_id, txn) WHERE conversation_id IS NULL",
    "CREATE INDEX event_personal_txn ON event (txn) WHERE conversation_id IS NULL",
    "CREATE TABLE instance (id smallint PRIMARY KEY, epoch text NOT NULL)",
    "INSERT INTO instance VALUES (1, substr(replace(gen_random_uuid()::text, '-', ''), 1, 12))",
];

const SQLITE: &[&str] = &[
    // One writer: the row id is the order of commits, and every index carries it.
    "CREATE INDEX event_conversation ON event (conversation_id)",
    "CREATE INDEX event_personal_user ON event (user_id) WHERE conversation_id IS NULL",
    "CREATE TABLE instance (id smallint PRIMARY KEY, epoch text NOT NULL)",
    "INSERT INTO instance VALUES (1, lower(hex(randomblob(6))))",
];

fn id(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().not_null().take()
}

fn optional_id(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().take()
}

fn time(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

fn optional_time(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}

fn text(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).not_null().take()
}

fn optional_text(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).take()
}

fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().take()
}

fn counter(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().default(0).take()
}

fn references(from: (&'static str, &'static str), to: &'static str, key: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(from.0, from.1).to(to, key).to_owned()
}

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("user")
            .col(id("id").primary_key())
            .col(text("username", 32).unique_key())
            .col(text("display_name", 64))
            .col(flag("discoverable"))
            .col(time("created_at"))
            .to_owned(),
        Table::create()
            .table("account")
            .col(id("user_id").primary_key())
            .col(text("email", 254))
            .col(text("email_folded", 254))
            .col(optional_time("email_verified_at"))
            .col(optional_text("phone", 20))
            .col(ColumnDef::new("password_hash").text().not_null())
            .foreign_key(&mut references(("account", "user_id"), "user", "id"))
            .to_owned(),
        Table::create()
            .table("session")
            .col(id("id").primary_key())
            .col(id("user_id"))
            .col(optional_text("user_agent", 256))
            .col(time("created_at"))
            .col(time("last_used_at"))
            .col(time("expires_at"))
            .col(optional_time("revoked_at"))
            .foreign_key(&mut references(("session", "user_id"), "user", "id"))
            .to_owned(),
        Table::create()
            .table("refresh_token")
            .col(ColumnDef::new("token_hash").binary_len(32).not_null().primary_key())
            .col(id("session_id"))
            .col(time("created_at"))
            .col(optional_time("used_at"))
            .foreign_key(&mut references(("refresh_token", "session_id"), "session", "id"))
            .to_owned(),
        Table::create()
            .table("conversation")
            .col(id("id").primary_key())
            .col(text("kind", 16))
            .col(optional_id("direct_low"))
            .col(optional_id("direct_high"))
            .col(flag("open"))
            .col(counter("sequence"))
            .col(counter("position"))
            .col(time("created_at"))
            .col(time("last_activity_at"))
            .foreign_key(&mut references(("conversation", "direct_low"), "user", "id"))
            .foreign_key(&mut references(("conversation", "direct_high"), "user", "id"))
            .to_owned(),
        Table::create()
            .table("friendship")
            .col(id("user_id"))
            .col(id("friend_id"))
            .col(id("conversation_id"))
            .col(time("since"))
            .primary_key(Index::create().col("user_id").col("friend_id"))
            .foreign_key(&mut references(("friendship", "user_id"), "user", "id"))
            .foreign_key(&mut references(("friendship", "friend_id"), "user", "id"))
            .foreign_key(&mut references(("friendship", "conversation_id"), "conversation", "id"))
            .to_owned(),
        Table::create()
            .table("block")
            .col(id("blocker_id"))
            .col(id("blocked_id"))
            .col(time("created_at"))
            .primary_key(Index::create().col("blocker_id").col("blocked_id"))
            .foreign_key(&mut references(("block", "blocker_id"), "user", "id"))
            .foreign_key(&mut references(("block", "blocked_id"), "user", "id"))
            .to_owned(),
        Table::create()
            .table("invite")
            .col(id("id").primary_key())
            .col(text("kind", 16))
            .col(text("status", 16))
            .col(id("inviter_id"))
            .col(optional_id("invitee_id"))
            .col(optional_text("email", 254))
            .col(ColumnDef::new("token_hash").binary_len(32).unique_key())
            .col(optional_id("group_id"))
            .col(optional_text("note", 500))
            .col(flag("hidden"))
            .col(optional_text("pending_slot", 160).unique_key())
            .col(time("created_at"))
            .col(time("expires_at"))
            .col(optional_time("responded_at"))
            .foreign_key(&mut references(("invite", "inviter_id"), "user", "id"))
            .foreign_key(&mut references(("invite", "invitee_id"), "user", "id"))
            .foreign_key(&mut references(("invite", "group_id"), "conversation", "id"))
            .to_owned(),
        Table::create()
            .table("member")
            .col(id("conversation_id"))
            .col(id("user_id"))
            .col(text("role", 16))
            .col(time("joined_at"))
            .col(counter("last_read_sequence"))
            .col(optional_time("last_read_at"))
            .primary_key(Index::create().col("conversation_id").col("user_id"))
            .foreign_key(&mut references(("member", "conversation_id"), "conversation", "id"))
            .foreign_key(&mut references(("member", "user_id"), "user", "id"))
            .to_owned(),
        Table::create()
            .table("message")
            .col(id("id").primary_key())
            .col(id("conversation_id"))
            .col(ColumnDef::new("sequence").big_integer().not_null())
            .col(id("sender_id"))
            .col(ColumnDef::new("body").text())
            .col(optional_id("reply_to_id"))
            .col(optional_text("idempotency_key", 128))
            .col(ColumnDef::new("input_hash").binary_len(32))
            .col(time("created_at"))
            .col(optional_time("edited_at"))
            .col(optional_time("deleted_at"))
            // No references: the statement that inserts looks the conversation, the sender and the message replied to
            // up, and none of them is ever deleted. Asking again for each row would cost a fifth of a send and more, and on
            // PostgreSQL a write to the row that is referred to.
            .to_owned(),
        // A log: it names rows and holds none, so that writing it costs no look-ups.
        Table::create()
            .table("event")
            .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
            .col(ColumnDef::new("kind").small_integer().not_null())
            .col(optional_id("conversation_id"))
            .col(ColumnDef::new("position").big_integer())
            .col(optional_id("user_id"))
            .col(optional_id("subject_id"))
            .col(optional_id("joined_id"))
            .col(optional_id("message_id"))
            .col(optional_id("invite_id"))
            .col(optional_id("session_id"))
            .col(time("created_at"))
            .to_owned(),
    ]
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(table).to_owned();
    for column in columns {
        index.col(*column);
    }
    index
}

fn unique(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    index(name, table, columns).unique().to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("account_email", "account", &["email_folded"]),
        index("session_user", "session", &["user_id", "created_at"]),
        index("session_revoked", "session", &["revoked_at"]),
        index("refresh_token_session", "refresh_token", &["session_id"]),
        unique("conversation_direct", "conversation", &["direct_low", "direct_high"]),
        index("conversation_direct_high", "conversation", &["direct_high"]),
        index("friendship_page", "friendship", &["user_id", "since", "friend_id"]),
        index("friendship_friend", "friendship", &["friend_id"]),
        index("friendship_conversation", "friendship", &["conversation_id"]),
        index("block_page", "block", &["blocker_id", "created_at", "blocked_id"]),
        index("block_blocked", "block", &["blocked_id"]),
        index("invite_inviter", "invite", &["inviter_id", "created_at", "id"]),
        index("invite_invitee", "invite", &["invitee_id", "created_at", "id"]),
        index("invite_group", "invite", &["group_id"]),
        index("member_user", "member", &["user_id"]),
        unique("message_conversation_sequence", "message", &["conversation_id", "sequence"]),
        unique("message_sender_key", "message", &["sender_id", "idempotency_key"]),
        unique("event_conversation_position", "event", &["conversation_id", "position"]),
    ]
}
