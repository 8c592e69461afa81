//! Exports of what is somebody's own, and what remains to be done for people who are gone.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [data_export(), data_export_part(), departure()] {
            manager.create_table(table).await?;
        }
        for (name, columns) in [("data_export_user", &["user_id", "id"]), ("data_export_status", &["status", "id"])] {
            let mut index = Index::create().name(name).table("data_export").to_owned();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        // For reading somebody's messages page by page. The condition is always true and not said where a send looks
        // for an earlier one with its key: there the planner, who may know nothing yet of the table, must not take this
        // index for the one of the keys.
        let connection = manager.get_connection();
        connection
            .execute_unprepared("CREATE INDEX message_sender ON message (sender_id, id) WHERE sequence > 0")
            .await?;
        // What ended by revocation has an index already: the sweep looks for both.
        connection.execute_unprepared("CREATE INDEX session_expires ON session (expires_at)").await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in ["DROP INDEX session_expires", "DROP INDEX message_sender"] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        for table in ["departure", "data_export_part", "data_export"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn data_export() -> TableCreateStatement {
    Table::create()
        .table("data_export")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("status").string_len(16).not_null())
        .col(ColumnDef::new("requested_at").big_integer().not_null())
        .col(ColumnDef::new("attempts").integer().not_null().default(0))
        .col(ColumnDef::new("claim").uuid())
        .col(ColumnDef::new("claimed_until").big_integer())
        .col(ColumnDef::new("n_bytes").big_integer())
        .col(ColumnDef::new("expires_at").big_integer())
        .foreign_key(ForeignKey::create().from("data_export", "user_id").to("user", "id"))
        .to_owned()
}

fn data_export_part() -> TableCreateStatement {
    Table::create()
        .table("data_export_part")
        .col(ColumnDef::new("export_id").uuid().not_null())
        .col(ColumnDef::new("n").integer().not_null())
        .col(ColumnDef::new("data").blob().not_null())
        .primary_key(Index::create().col("export_id").col("n"))
        .foreign_key(
            ForeignKey::create()
                .from("data_export_part", "export_id")
                .to("data_export", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn departure() -> TableCreateStatement {
    Table::create()
        .table("departure")
        .col(ColumnDef::new("user_id").uuid().not_null().primary_key())
        .foreign_key(ForeignKey::create().from("departure", "user_id").to("user", "id"))
        .to_owned()
}
