//! Who types in a conversation, as far as a topic has told.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{Timestamp, UserId, user};
use tokio::time::Instant;

/// How long a message outweighs what its author said of typing before it.
const REMEMBERED: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Typists {
    typing: HashMap<UserId, Typist>,
    /// Who sent a message lately, and when.
    spoke: HashMap<UserId, (Timestamp, Instant)>,
    /// When the conversation closed last.
    closed_at: Option<Timestamp>,
}

struct Typist {
    user: Arc<user::Model>,
    said_at: Timestamp,
    until: Instant,
}

/// Somebody whose typing is over, and which word of theirs is.
#[derive(Clone, Debug)]
pub struct Over {
    pub user: Arc<user::Model>,
    pub said_at: Timestamp,
}

impl Typists {
    /// Takes a word that lasts until then, and says whether it is worth telling: no end of what has not begun, nothing
    /// that a later word or message has overtaken.
    pub fn is_news(&mut self, user: &Arc<user::Model>, typing: bool, said_at: Timestamp, until: Instant) -> bool {
        if typing {
            let is_spoken = self.spoke.get(&user.id).is_some_and(|(spoke_at, _)| *spoke_at >= said_at);
            if is_spoken || self.closed_at.is_some_and(|closed_at| closed_at >= said_at) {
                return false;
            }
            let typist = Typist { user: Arc::clone(user), said_at, until };
            self.typing.insert(user.id, typist);
            return true;
        }
        let is_current = self.typing.get(&user.id).is_some_and(|typist| typist.said_at <= said_at);
        if is_current {
            self.typing.remove(&user.id);
        }
        is_current
    }

    /// Somebody sent a message: whether that ends their typing.
    pub fn spoke(&mut self, user_id: UserId, at: Timestamp, now: Instant) -> Option<Over> {
        self.spoke.retain(|_, (_, since)| now < *since + REMEMBERED);
        self.spoke.insert(user_id, (at, now));
        self.typing.get(&user_id).filter(|typist| typist.said_at <= at).map(Typist::over)
    }

    /// Nobody may send any more: all typing is over, and what was said before that is no news.
    pub fn close(&mut self, at: Timestamp) -> Vec<Over> {
        self.closed_at = Some(at);
        self.typing.drain().map(|(_, typist)| typist.over()).collect()
    }

    /// The typing of somebody who is no longer in the conversation.
    pub fn of(&self, user_id: UserId) -> Option<Over> {
        self.typing.get(&user_id).map(Typist::over)
    }

    /// Whose time is over.
    pub fn expired(&self, now: Instant) -> Vec<Over> {
        self.typing.values().filter(|typist| typist.until <= now).map(Typist::over).collect()
    }

    /// When the next one's time is over; none when nobody types.
    pub fn next_end(&self) -> Option<Instant> {
        self.typing.values().map(|typist| typist.until).min()
    }
}

impl Typist {
    fn over(&self) -> Over {
        Over { user: Arc::clone(&self.user), said_at: self.said_at }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn ann() -> Arc<user::Model> {
        Arc::new(user::Model {
            id: UserId(Uuid::from_u128(1)),
            username: "ann".into(),
            display_name: "Ann".into(),
            discoverable: false,
            created_at: Timestamp(0),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn typing_ends_by_itself_unless_it_is_repeated() {
        let (mut typists, ann, start) = (Typists::default(), ann(), Instant::now());
        assert!(typists.is_news(&ann, true, Timestamp(0), start + LIFE));
        // It was said after one second and is told after three.
        let end = start + Duration::from_secs(1) + LIFE;
        assert!(typists.is_news(&ann, true, Timestamp(1000), end));
        assert!(typists.expired(start + LIFE).is_empty());
        assert_eq!(typists.next_end(), Some(end));
        let over = typists.expired(end);
        assert_eq!(over.len(), 1);
        // It was repeated before the end was told.
        assert!(typists.is_news(&ann, true, Timestamp(7000), end + LIFE));
        assert!(!typists.is_news(&ann, false, over[0].said_at, end));
        assert!(typists.is_news(&ann, false, Timestamp(7000), end));
        assert!(!typists.is_news(&ann, false, Timestamp(7000), end), "there is nothing to end any more");
        assert_eq!(typists.next_end(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_ends_what_was_said_before_it() {
        let (mut typists, ann, now) = (Typists::default(), ann(), Instant::now());
        assert!(typists.is_news(&ann, true, Timestamp(0), now));
        let over = typists.spoke(ann.id, Timestamp(10), now).expect("she typed");
        assert!(typists.is_news(&ann, false, over.said_at, now));
        assert!(!typists.is_news(&ann, true, Timestamp(9), now), "said before the message, told after it");
        assert!(typists.is_news(&ann, true, Timestamp(11), now), "the next message");
        assert!(typists.spoke(UserId(Uuid::nil()), Timestamp(12), now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_said_before_a_conversation_closed_is_told_after_it() {
        let (mut typists, ann, until) = (Typists::default(), ann(), Instant::now() + LIFE);
        assert!(typists.is_news(&ann, true, Timestamp(0), until));
        assert_eq!(typists.close(Timestamp(10)).len(), 1);
        assert!(!typists.is_news(&ann, false, Timestamp(0), until) && typists.next_end().is_none());
        assert!(!typists.is_news(&ann, true, Timestamp(10), until));
        assert!(typists.is_news(&ann, true, Timestamp(11), until), "it is open again");
    }

    const LIFE: Duration = crate::typing::LIFE;
}
