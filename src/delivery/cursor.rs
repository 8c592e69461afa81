//! Resume tokens: opaque to clients, and recognised when they come from elsewhere.
//!
//! Both carry the database's epoch. A database restored from a backup has another one (`kith migrate --new-epoch`),
//! so that a cursor from before the restore is told apart and not misread.

use async_graphql::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::ConversationId;
use uuid::Uuid;

use crate::error::Error;

/// The epoch of this server's database.
pub fn epoch<'a>(ctx: &Context<'a>) -> &'a str {
    &crate::graphql::app(ctx).epoch
}

/// A place in one conversation's events: everything up to `position` has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCursor;

impl EventCursor {
    pub fn encode(epoch: &str, conversation_id: ConversationId, position: i64) -> String {
        URL_SAFE_NO_PAD.encode(format!("m.{epoch}.{}.{position}", conversation_id.0.simple()))
    }

    /// The position, when the cursor is of this conversation and not past its `head`.
    pub fn decode(text: &str, epoch: &str, conversation_id: ConversationId, head: i64) -> Result<i64, Error> {
        let parts = parts(text).ok_or_else(not_a_cursor)?;
        let [kind, of_epoch, conversation, position] = parts.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
            return Err(not_a_cursor());
        };
        if kind != "m" || Uuid::try_parse(conversation).ok() != Some(conversation_id.0) {
            return Err(not_a_cursor());
        }
        let position: i64 = position.parse().map_err(|_| not_a_cursor())?;
        if of_epoch != epoch || !(0..=head).contains(&position) {
            return Err(Error::bad_input(
                "`after` is from another time of this server and cannot be replayed: fetch the messages anew and subscribe without it.",
            ));
        }
        Ok(position)
    }
}

/// A place in the whole log: everything below the watermark has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCursor {
    /// Of this database.
    Here(i64),
    /// Of another time or another database: nothing can be replayed from it.
    Elsewhere,
}

impl LogCursor {
    pub fn encode(epoch: &str, watermark: i64) -> String {
        URL_SAFE_NO_PAD.encode(format!("w.{epoch}.{watermark}"))
    }

    pub fn decode(text: &str, epoch: &str) -> Result<Self, Error> {
        let parts = parts(text).ok_or_else(not_a_cursor)?;
        let [kind, of_epoch, watermark] = parts.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
            return Err(not_a_cursor());
        };
        let watermark: i64 = watermark.parse().map_err(|_| not_a_cursor())?;
        if kind != "w" || watermark < 0 {
            return Err(not_a_cursor());
        }
        Ok(if of_epoch == epoch { Self::Here(watermark) } else { Self::Elsewhere })
    }
}

fn parts(text: &str) -> Option<Vec<String>> {
    if text.len() > 256 {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    Some(text.split('.').map(str::to_owned).collect())
}

fn not_a_cursor() -> Error {
    Error::bad_input("`after` is not a cursor of this subscription.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "0011aabb";

    #[test]
    fn a_position_survives_and_belongs_to_its_conversation() {
        let (one, other) = (ConversationId(Uuid::from_u128(1)), ConversationId(Uuid::from_u128(2)));
        let cursor = EventCursor::encode(HERE, one, 7);
        assert_eq!(EventCursor::decode(&cursor, HERE, one, 7).expect("decodes"), 7);
        assert!(EventCursor::decode(&cursor, HERE, other, 7).is_err());
        assert!(EventCursor::decode(&cursor, HERE, one, 6).is_err(), "past the head");
        assert!(EventCursor::decode(&cursor, "other", one, 7).is_err());
        assert!(EventCursor::decode(&EventCursor::encode(HERE, one, -1), HERE, one, 7).is_err());
    }

    #[test]
    fn a_watermark_says_where_it_is_from() {
        let cursor = LogCursor::encode(HERE, 9);
        assert_eq!(LogCursor::decode(&cursor, HERE).expect("decodes"), LogCursor::Here(9));
        assert_eq!(LogCursor::decode(&cursor, "other").expect("decodes"), LogCursor::Elsewhere);
    }

    #[test]
    fn nonsense_is_refused() {
        let of_conversation = EventCursor::encode(HERE, ConversationId(Uuid::nil()), 1);
        for text in ["", "%", "AAAA", "🦀", &"A".repeat(100_000), &of_conversation] {
            assert!(LogCursor::decode(text, HERE).is_err(), "{text:.20}");
        }
        let of_log = LogCursor::encode(HERE, 1);
        assert!(EventCursor::decode(&of_log, HERE, ConversationId(Uuid::nil()), 9).is_err());
    }
}
