//! How far somebody has read is not shown to a former friend as it goes on.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            ColumnDef::new("shown_read_sequence").big_integer().take(),
            ColumnDef::new("shown_read_at").big_integer().take(),
        ] {
            // SQLite adds one column at a time.
            manager.alter_table(Table::alter().table("member").add_column(column).to_owned()).await?;
        }
        // Where a friendship has ended already, it stays at what is shown now.
        let freeze = "UPDATE member SET shown_read_sequence = last_read_sequence, shown_read_at = last_read_at \
             WHERE conversation_id IN (SELECT id FROM conversation WHERE kind = 'direct' AND NOT open)";
        manager.get_connection().execute_unprepared(freeze).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["shown_read_at", "shown_read_sequence"] {
            manager.alter_table(Table::alter().table("member").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
