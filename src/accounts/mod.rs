//! The private half of a person: signing up, signing in, the devices that are signed in, and the profile.
//!
//! *Account*: email, phone and password, on top of the public user. *Session*: a signed-in device. It lives while its
//! refresh tokens are used, and an *access token* lets its bearer act for some minutes.
//!
//! | rule | where |
//! | --- | --- |
//! | Nobody learns who has an address: registering, signing in and failing look alike (ADR 0003) | [`actions`] |
//! | A refresh token works once; a second use ends the session | [`sessions`] |
//! | One account verifies an address; a token from a mail works once | [`recovery`] |
//! | A new password ends all other sessions and every other way to a new one | [`recovery`] |
//! | A session that ended is refused at once, by every process | [`sessions`] |
//! | At most [`sessions::MAX_SESSIONS`] devices; the longest unused makes room | [`sessions`] |
//!
//! Raises `SessionRevoked`; a new name raises `FriendshipChanged` for all friends and the person themselves.

pub mod actions;
pub mod graphql;
pub mod recovery;
pub mod sessions;
mod store;
pub mod types;

#[cfg(test)]
mod tests;
