//! When people were last seen.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The primary key is the foreign key's index too.
        let table = Table::create()
            .table("last_seen")
            .col(ColumnDef::new("user_id").uuid().not_null().primary_key())
            .col(ColumnDef::new("at").big_integer().not_null())
            .foreign_key(&mut ForeignKey::create().from("last_seen", "user_id").to("user", "id").to_owned())
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("last_seen").to_owned()).await
    }
}
