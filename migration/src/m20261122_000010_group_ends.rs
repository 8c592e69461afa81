//! One owner for each group, and what is to be swept: deleted groups, and links that are over.

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
            // The links that are over, in each of the ways in which one can be.
            "CREATE INDEX invite_link_revoked ON invite_link (revoked_at) WHERE revoked_at IS NOT NULL",
            "CREATE INDEX invite_link_expires ON invite_link (expires_at) WHERE expires_at IS NOT NULL",
            "CREATE INDEX invite_link_used_up ON invite_link (created_at) WHERE uses >= max_uses",
        ] {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "DROP INDEX invite_link_used_up",
            "DROP INDEX invite_link_expires",
            "DROP INDEX invite_link_revoked",
            "DROP INDEX conversation_to_purge",
            "DROP INDEX member_owner",
        ] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
