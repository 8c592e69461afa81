//! Kith's schema, one source for SQLite and PostgreSQL 15+.
//!
//! Migrations only go forward in production: a shipped one is never edited, every foreign key has
//! an index, and the code of the release before must be able to run on the new schema.

pub use sea_orm_migration::prelude::*;

mod m20261122_000001_core;
mod m20261122_000002_send_messages;
mod m20261122_000003_groups;
mod m20261122_000004_mails;
mod m20261122_000005_reactions_receipts_search;
mod m20261122_000006_presence;
mod m20261122_000007_account_life;
mod m20261122_000010_group_ends;
mod m20261129_000011_shown_reads;
mod m20261129_000012_search_by_place;
mod m20261129_000013_missed_deletions;

pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_core::Migration),
            Box::new(m20261122_000002_send_messages::Migration),
            Box::new(m20261122_000003_groups::Migration),
            Box::new(m20261122_000004_mails::Migration),
            Box::new(m20261122_000005_reactions_receipts_search::Migration),
            Box::new(m20261122_000006_presence::Migration),
            Box::new(m20261122_000007_account_life::Migration),
            Box::new(m20261122_000010_group_ends::Migration),
            Box::new(m20261129_000011_shown_reads::Migration),
            Box::new(m20261129_000012_search_by_place::Migration),
            Box::new(m20261129_000013_missed_deletions::Migration),
        ]
    }
}
