//! Groups and the links into them.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            ColumnDef::new("name").string_len(100).take(),
            ColumnDef::new("description").string_len(1000).take(),
            ColumnDef::new("deleted_at").big_integer().take(),
        ] {
            // SQLite adds one column at a time.
            manager.alter_table(Table::alter().table("conversation").add_column(column).to_owned()).await?;
        }
        manager.create_table(invite_link()).await?;
        for (name, columns, unique) in [
            ("invite_link_code", &["code_hash"][..], true),
            ("invite_link_group", &["group_id", "id"], false),
            ("invite_link_creator", &["created_by"], false),
        ] {
            let mut index = Index::create().name(name).table("invite_link").to_owned();
            for column in columns {
                index.col(*column);
            }
            if unique {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("invite_link").to_owned()).await?;
        for column in ["deleted_at", "description", "name"] {
            manager.alter_table(Table::alter().table("conversation").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

fn invite_link() -> TableCreateStatement {
    let references = |column: &'static str, table: &'static str| {
        ForeignKey::create().from("invite_link", column).to(table, "id").to_owned()
    };
    Table::create()
        .table("invite_link")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("group_id").uuid().not_null())
        .col(ColumnDef::new("code_hash").binary_len(32).not_null())
        .col(ColumnDef::new("created_by").uuid().not_null())
        .col(ColumnDef::new("created_at").big_integer().not_null())
        .col(ColumnDef::new("expires_at").big_integer())
        .col(ColumnDef::new("max_uses").integer())
        .col(ColumnDef::new("uses").integer().not_null().default(0))
        .col(ColumnDef::new("revoked_at").big_integer())
        .foreign_key(&mut references("group_id", "conversation"))
        .foreign_key(&mut references("created_by", "user"))
        .to_owned()
}
