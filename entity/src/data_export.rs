//! An archive of what is somebody's own, made in the background.

use sea_orm::entity::prelude::*;

use crate::{DataExportId, Timestamp, UserId};

/// What is stored. That a ready one is over is also seen when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Status {
    #[sea_orm(string_value = "pending")]
    Pending,
    #[sea_orm(string_value = "ready")]
    Ready,
    #[sea_orm(string_value = "failed")]
    Failed,
    #[sea_orm(string_value = "expired")]
    Expired,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "data_export")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DataExportId,
    pub user_id: UserId,
    pub status: Status,
    pub requested_at: Timestamp,
    /// How often somebody began to make it.
    pub attempts: i32,
    /// Who makes it now: only with it parts can be written.
    pub claim: Option<Uuid>,
    /// When the claim is over unless it is prolonged.
    pub claimed_until: Option<Timestamp>,
    /// Size of all parts together, once it is ready.
    pub n_bytes: Option<i64>,
    /// When a ready one is deleted.
    pub expires_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
