//! What was deleted in a conversation while it was closed, to be told when it opens.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // As from messages, no foreign keys: no conversation in it and no message is ever deleted.
        let table = Table::create()
            .table("missed_deletion")
            .col(ColumnDef::new("conversation_id").uuid().not_null())
            .col(ColumnDef::new("message_id").uuid().not_null())
            .primary_key(Index::create().col("conversation_id").col("message_id"))
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("missed_deletion").to_owned()).await
    }
}
