//! PLACEHOLDER: the wire types that people, friends and invites name.

use std::sync::Arc;

use async_graphql::{Context, ID, Interface, Object};
use entity::{ConversationId, conversation};
use sea_orm::EntityTrait;

use crate::{
    error::Error,
    graphql::{app, ids::GlobalId},
};

#[derive(Clone)]
pub struct DirectConversation(Arc<conversation::Model>);

impl DirectConversation {
    pub fn new(row: Arc<conversation::Model>) -> Self {
        Self(row)
    }
}

#[Object]
impl DirectConversation {
    async fn id(&self) -> ID {
        self.0.id.encode()
    }
}

#[derive(Clone, Interface)]
#[graphql(field(name = "id", ty = "ID"))]
pub enum Conversation {
    Direct(DirectConversation),
}

pub async fn load(ctx: &Context<'_>, id: ConversationId) -> Result<Option<Conversation>, Error> {
    let row = conversation::Entity::find_by_id(id).one(app(ctx).db.read()).await?;
    Ok(row.map(|row| Conversation::Direct(DirectConversation(Arc::new(row)))))
}
