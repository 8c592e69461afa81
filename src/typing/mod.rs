//! Who is typing.
//!
//! *Typing* lasts 5 s unless it is repeated, and ends earlier when its author says so or sends the message. It is never
//! stored and has no place in the order of events: it is on its way to who listens now, or it is nothing.
//!
//! | rule | where |
//! | --- | --- |
//! | Who may send may type | [`conversations::access::sender`](crate::conversations::access::sender) |
//! | At most one event in 3 s by one person in one conversation reaches the bus, whatever was said and to how many processes; the last word is told when the time is over | [`throttle`] |
//! | It ends by itself, each process ends it for its own listeners | [`crate::delivery::topic`] |
//! | It is told to everybody in the conversation but its author, and dropped where there is little room | [`crate::delivery::topic`] |

pub mod actions;
pub mod graphql;
mod throttle;

use std::time::Duration;

pub use throttle::Typing;

/// How long typing lasts unless it is repeated.
pub const LIFE: Duration = Duration::from_secs(5);
/// Between two events of one person in one conversation.
pub const INTERVAL: Duration = Duration::from_secs(3);
