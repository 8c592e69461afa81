//! What is worth telling and not worth keeping.

use std::sync::Arc;

use entity::ConversationId;

use super::{Delivery, Event, Topic};
use crate::app::App;

/// Hands an event to who listens to a conversation now. It is the only road to the bus beside
/// [`Transaction`](super::Transaction) and the committer, and leads past the log on purpose: nobody who missed it needs
/// it later, so a row for each would be written for nothing. What is lost on the way stays lost.
pub fn signal(app: &App, conversation_id: ConversationId, event: Event) {
    let delivery = Delivery {
        topic: Topic::Conversation(conversation_id),
        position: None,
        log_id: None,
        occurred_at: app.clock.now(),
        event,
    };
    app.bus.publish(vec![Arc::new(delivery)]);
}
