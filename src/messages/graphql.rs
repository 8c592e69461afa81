//! messages
#[derive(Default)]
pub struct MessageSubscription;
#[async_graphql::Subscription]
impl MessageSubscription {
    async fn probe(&self) -> impl futures_util::Stream<Item = bool> {
        futures_util::stream::empty()
    }
}
