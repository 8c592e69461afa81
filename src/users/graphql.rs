//! users: stands in for another branch's.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{Context, ID, Object};
use entity::{UserId, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::{
    db::Db,
    error::Error,
    graphql::{ids::GlobalId, loaders, loaders::Key},
};

pub struct User(Arc<user::Model>);

impl User {
    pub async fn load(ctx: &Context<'_>, user_id: UserId) -> Result<Self, Error> {
        let row = loaders(ctx).load(user_id).await?;
        row.map(Self).ok_or_else(|| Error::internal("a row names a user that does not exist"))
    }
}

#[Object]
impl User {
    async fn id(&self) -> ID {
        self.0.id.encode()
    }

    async fn username(&self) -> &str {
        &self.0.username
    }

    async fn display_name(&self) -> &str {
        &self.0.display_name
    }
}

impl Key for UserId {
    type Value = Arc<user::Model>;

    async fn load(db: &Db, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, Error> {
        let rows = user::Entity::find().filter(user::Column::Id.is_in(keys.iter().copied())).all(db.read()).await?;
        Ok(rows.into_iter().map(|row| (row.id, Arc::new(row))).collect())
    }
}

#[derive(Default)]
pub struct UserQuery;
#[Object]
impl UserQuery {
    async fn probe(&self) -> bool {
        true
    }
}
#[derive(Default)]
pub struct UserMutation;
#[Object]
impl UserMutation {
    async fn probe(&self) -> bool {
        true
    }
}
