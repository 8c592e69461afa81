//! One owner for each group, and the deleted groups that are still to be purged.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in [
            "CREATE UNIQUE INDEX member_owner ON member (conversation_id) WHERE role = 'owner'",
            // What is purged has lost its name.
            "CREATE INDEX conversation_to_purge ON conversation (deleted_at) \
             WHERE deleted_at IS NOT NULL AND name IS NOT NULL",
        ] {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in ["DROP INDEX conversation_to_purge", "DROP INDEX member_owner"] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
