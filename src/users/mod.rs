//! The public half of a person.
//!
//! | rule | where |
//! | --- | --- |
//! | Whom a viewer may see | [`access::may_see`] |
//! | How a viewer stands to somebody | [`types::Standing::relationship`] |
//! | What is left of who deleted their account | [`actions::forget`] |
//! | What a name is | [`types::Username`], [`types::DisplayName`] |
//!
//! A username is public: who knows it may send an invite to it. What lies behind it (the display name, that the account
//! exists) is for those whom [`access`] lets see it.

pub mod access;
pub mod actions;
pub mod graphql;
pub mod store;
pub mod types;

#[cfg(test)]
pub(crate) mod testing;
