//! The outbox of mails, and the tokens that mails carry.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(mail()).await?;
        manager.create_table(email_token()).await?;
        for (name, table, columns) in [
            ("mail_due", "mail", &["due_at", "id"][..]),
            ("email_token_user", "email_token", &["user_id", "purpose"]),
            ("email_token_expiry", "email_token", &["expires_at"]),
        ] {
            let mut index = Index::create().name(name).table(table).to_owned();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["email_token", "mail"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn mail() -> TableCreateStatement {
    Table::create()
        .table("mail")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("recipient").string_len(254).not_null())
        .col(ColumnDef::new("content").text().not_null())
        .col(ColumnDef::new("attempts").integer().not_null().default(0))
        .col(ColumnDef::new("queued_at").big_integer().not_null())
        .col(ColumnDef::new("due_at").big_integer().not_null().default(0))
        .to_owned()
}

fn email_token() -> TableCreateStatement {
    Table::create()
        .table("email_token")
        .col(ColumnDef::new("token_hash").binary_len(32).not_null().primary_key())
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("purpose").string_len(16).not_null())
        .col(ColumnDef::new("expires_at").big_integer().not_null())
        .foreign_key(&mut ForeignKey::create().from("email_token", "user_id").to("user", "id").to_owned())
        .to_owned()
}
