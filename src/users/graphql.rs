//! users
#[derive(Default)]
pub struct UserQuery;
#[async_graphql::Object]
impl UserQuery {
    async fn probe(&self) -> bool {
        true
    }
}
#[derive(Default)]
pub struct UserMutation;
#[async_graphql::Object]
impl UserMutation {
    async fn probe(&self) -> bool {
        true
    }
}
