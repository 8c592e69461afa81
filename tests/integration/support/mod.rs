//! The language in which the stories are told: a world, a server in it, some people, and what they do.
//!
//! ```ignore
//! story!(a_friend_hears_what_is_said, |world| async {
//!     let server = world.server().await;
//!     let (alice, bob, conversation) = server.friends("alice", "bob").await;
//!     let mut ears = bob.socket().await.listen(&conversation, &alice).await;
//!     alice.send(&conversation, "hello").await;
//!     assert_eq!(ears.next().await["messageEdge"]["node"]["body"], "hello");
//! });
//! ```
//!
//! * [`story!`] tells a story twice, as `name::sqlite` and as `name::full` (PostgreSQL and Redis);
//!   [`sqlite_story!`] and [`full_story!`] are for what only one of them can show, or what has nothing to do with either.
//!   [`joined_story!`] is for several processes: `name::full`, and `name::cluster` with a Redis Cluster.
//! * A [`World`] is all that a test owns: a SQLite file or a database of its own, a Redis prefix, a JWT secret, a
//!   temporary directory and a seed. It is taken away at the end.
//! * A [`Server`] is the real program, as a child process. What it logs is printed when the story fails.
//! * A [`Person`] has an account and a [`Client`]; `at` moves it to another process, `socket` opens a
//!   graphql-transport-ws [`Socket`], and [`RawSocket`] speaks it frame by frame.
//! * [`Redis::private`] is a Redis to kill, [`Proxy`] a wire to cut, and [`MailServer`] takes mails or does not.
//!
//! Nothing waits without a limit ([`PATIENCE`]), and nothing sleeps to be on the safe side: a story waits for what it
//! can see. To know that a subscription is live, see [`Socket::listen`] and [`Socket::follow`].

mod backend;
mod client;
mod crossing;
mod documents;
mod person;
mod proxy;
mod raw_http;
mod redis;
mod rng;
mod server;
mod smtp;
mod socket;
mod sse;
mod wait;
mod world;

pub use self::{
    backend::Backend,
    client::{Answer, Client, Payload, conversation_id_of, normalised},
    crossing::Crossing,
    documents::{EVENTS, MESSAGE, MESSAGE_EVENTS, READ_RECEIPTS},
    person::Person,
    proxy::Proxy,
    raw_http::{RawAnswer, raw_request},
    redis::Redis,
    server::{Options, Server},
    smtp::{Letter, MailServer, Mood},
    socket::{Ended, Frame, Heard, RawSocket, Socket, Subscription, Upgrade, UpgradeRefused},
    sse::{EventSource, SleepingEventSource},
    wait::{PATIENCE, eventually, within},
    world::{World, tell, tell_on_cluster},
};

/// Tells a story on SQLite and on PostgreSQL with Redis.
#[macro_export]
macro_rules! story {
    ($name:ident, |$world:ident| async $story:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn story($world: &$crate::support::World) {
                $story
            }

            #[test]
            fn sqlite() {
                $crate::support::tell($crate::support::Backend::Sqlite, story);
            }

            #[test]
            fn full() {
                $crate::support::tell($crate::support::Backend::Full, story);
            }
        }
    };
}

/// Tells a story on SQLite only.
#[macro_export]
macro_rules! sqlite_story {
    ($name:ident, |$world:ident| async $story:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn story($world: &$crate::support::World) {
                $story
            }

            #[test]
            fn sqlite() {
                $crate::support::tell($crate::support::Backend::Sqlite, story);
            }
        }
    };
}

/// Tells a story of several processes on PostgreSQL, joined by one Redis and by a Redis Cluster.
#[macro_export]
macro_rules! joined_story {
    ($name:ident, |$world:ident| async $story:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn story($world: &$crate::support::World) {
                $story
            }

            #[test]
            fn full() {
                $crate::support::tell($crate::support::Backend::Full, story);
            }

            #[test]
            fn cluster() {
                $crate::support::tell_on_cluster(story);
            }
        }
    };
}

/// Tells a story on PostgreSQL with a Redis Cluster only.
#[macro_export]
macro_rules! cluster_story {
    ($name:ident, |$world:ident| async $story:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn story($world: &$crate::support::World) {
                $story
            }

            #[test]
            fn cluster() {
                $crate::support::tell_on_cluster(story);
            }
        }
    };
}

/// Tells a story on PostgreSQL with Redis only.
#[macro_export]
macro_rules! full_story {
    ($name:ident, |$world:ident| async $story:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn story($world: &$crate::support::World) {
                $story
            }

            #[test]
            fn full() {
                $crate::support::tell($crate::support::Backend::Full, story);
            }
        }
    };
}
