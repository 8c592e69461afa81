//! A piece of an export, so that neither who makes it nor who serves it holds it whole.

use sea_orm::entity::prelude::*;

use crate::DataExportId;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "data_export_part")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub export_id: DataExportId,
    /// 0, 1, 2 …
    #[sea_orm(primary_key, auto_increment = false)]
    pub n: i32,
    pub data: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
