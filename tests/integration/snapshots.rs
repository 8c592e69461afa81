//! A cached copy stays true: a snapshot taken before a mutation, with the mutation's events applied to it, is the
//! snapshot fetched after it.
//!
//! The client is the one that `docs/cache.md` describes: a normalised cache, and the rules of [`cache::Cache::apply`] for
//! the lists. Each case is told twice, by listening while it happens and by coming back with a cursor after it. A
//! mutation without a case fails the build.

mod cache;
mod cases;

use std::{collections::BTreeSet, panic::AssertUnwindSafe};

use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture, stream};
use serde_json::{Value, json};

use self::{
    cache::{Cache, EVENTS},
    cases::CASES,
};
use crate::{schema, story, support::*};

/// Cases under way at once.
const AT_ONCE: usize = 4;

/// A mutation, and what somebody who listens hears of it.
pub struct Case {
    pub mutation: &'static str,
    /// Whose mutation it is, and what it does.
    pub what: &'static str,
    pub told: Told,
    /// Sets the stage, calls [`Stage::begin`], and mutates.
    pub play: for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, ()>,
}

/// How much of a mutation's effect on what Alice sees is in the events.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// All of it; and it has one.
    Everything,
    /// It has none: that Alice hears nothing is right.
    NothingChanges,
    /// All but these fields, for the reason: clients fetch them anew.
    AllBut(&'static [&'static str], &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Listening {
    /// While the mutation is made.
    Live,
    /// Away meanwhile, then from the cursor of before.
    Replayed,
}

/// Alice, who listens, and the others of one case.
pub struct Stage<'a> {
    pub server: &'a Server,
    pub alice: Person,
    /// A friend of Alice's, with whom nothing else happens.
    fence: Person,
    fenced: String,
    listening: Listening,
    number: usize,
    begun: Option<Begun>,
}

struct Begun {
    cache: Cache,
    cursor: String,
    ears: Option<(Socket, Subscription)>,
}

impl<'a> Stage<'a> {
    async fn set(server: &'a Server, listening: Listening, number: usize) -> Self {
        let (alice, fence) = (format!("alice{number}"), format!("fence{number}"));
        let (alice, fence, fenced) = server.friends(&alice, &fence).await;
        Self { server, alice, fence, fenced, listening, number, begun: None }
    }

    /// Somebody new, with a name that is this case's.
    pub async fn person(&self, name: &str) -> Person {
        self.server.person(&format!("{name}{}", self.number)).await
    }

    /// A new friend of Alice's, and the conversation.
    pub async fn friend(&self, name: &str) -> (Person, String) {
        let friend = self.person(name).await;
        let conversation = friend.befriend(&self.alice).await;
        (friend, conversation)
    }

    /// Alice takes her snapshot. What comes now is the mutation, and nothing else.
    pub async fn begin(&mut self) {
        let socket = self.alice.socket().await;
        let mut ears = socket.subscribe(&EVENTS, json!({}));
        // Before the snapshot, so that nothing is missed between the two.
        let cursor = loop {
            let envelope = ears.next().await;
            if envelope["event"]["__typename"] == "CaughtUp" {
                break envelope["cursor"].as_str().expect("a cursor").to_owned();
            }
        };
        let cache = Cache::fetch(&self.alice).await;
        let ears = (self.listening == Listening::Live).then_some((socket, ears));
        self.begun = Some(Begun { cache, cursor, ears });
    }

    /// Applies the events to the snapshot of before until it is as the one of now, save what the case leaves out.
    async fn compare(mut self, told: Told) {
        let Begun { mut cache, cursor, ears } = self.begun.take().expect("the case calls `begin`");
        let expected: BTreeSet<String> = match told {
            Told::AllBut(fields, _) => fields.iter().map(|field| (*field).to_owned()).collect(),
            Told::Everything | Told::NothingChanges => BTreeSet::new(),
        };
        let now = Cache::fetch(&self.alice).await;
        match (told, cache.differences(&now)) {
            (Told::NothingChanges, differences) => assert!(differences.is_empty(), "it changes {differences:#?}"),
            (_, differences) => assert!(!differences.is_empty(), "what Alice sees is as it was: no case"),
        }
        let (_socket, mut ears) = match ears {
            Some(ears) => ears,
            None => {
                let socket = self.alice.socket().await;
                let ears = socket.subscribe(&EVENTS, json!({"after": cursor}));
                (socket, ears)
            }
        };
        // What is said after the mutation is heard after its events, and so is what the conversation is told to be.
        let fence = self.fence.send(&self.fenced, "That was it.").await["id"].clone();
        let now = Cache::fetch(&self.alice).await;
        let is_past = |event: &Value| event["conversation"]["lastMessage"]["id"] == fence;
        let mut heard = Vec::new();
        let mut past = false;
        loop {
            let differences = cache.differences(&now);
            let differing: BTreeSet<String> = differences.keys().cloned().collect();
            // A replay may tell more than was missed, and names with it.
            let as_expected = match self.listening {
                Listening::Live => differing == expected,
                Listening::Replayed => differing.is_subset(&expected),
            };
            if past && as_expected {
                return;
            }
            let Some(envelope) = ears.try_next(PATIENCE).await else {
                let heard: Vec<String> = heard.iter().map(Value::to_string).collect();
                panic!("expected to differ in {expected:?}, got {differences:#?}\nheard:\n{}", heard.join("\n"));
            };
            past |= is_past(&envelope["event"]);
            // Applying one twice changes nothing.
            cache.apply(&envelope);
            let once = cache.clone();
            cache.apply(&envelope);
            assert_eq!(once, cache, "applied twice: {envelope}");
            heard.push(envelope);
        }
    }
}

/// What a mutation is about: each a story of its own, since together they would be a long one.
#[derive(Clone, Copy, PartialEq)]
enum Subject {
    Accounts,
    People,
    Groups,
    Messages,
}

fn subject_of(mutation: &str) -> Subject {
    let names = |words: &[&str]| words.iter().any(|word| mutation.contains(word));
    match mutation {
        _ if names(&["Message", "Reaction", "markRead", "setTyping"]) => Subject::Messages,
        _ if names(&["Group", "Member", "Ownership", "InviteLink"]) => Subject::Groups,
        _ if names(&["Invite", "Friend", "User"]) => Subject::People,
        _ => Subject::Accounts,
    }
}

/// Tells every case of a subject and says all that failed.
async fn tell_all(world: &World, subject: Subject, listening: Listening) {
    let server = world.server().await;
    let cases = CASES.iter().filter(|case| subject_of(case.mutation) == subject).enumerate();
    let failed: Vec<String> = stream::iter(cases)
        .map(|(number, case)| {
            let server = &server;
            async move {
                let told = async {
                    let mut stage = Stage::set(server, listening, number).await;
                    (case.play)(&mut stage).await;
                    stage.compare(case.told).await;
                };
                // What went wrong is printed where it did.
                let failed = AssertUnwindSafe(told).catch_unwind().await.is_err();
                failed.then(|| format!("{} ({})", case.mutation, case.what))
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |failed| failed)
        .collect()
        .await;
    assert!(failed.is_empty(), "a snapshot and the events do not make the next snapshot: {failed:#?}");
}

story!(events_carry_a_snapshot_over_what_accounts_do, |world| async {
    tell_all(world, Subject::Accounts, Listening::Live).await;
});

story!(replayed_events_carry_a_snapshot_over_what_accounts_do, |world| async {
    tell_all(world, Subject::Accounts, Listening::Replayed).await;
});

story!(events_carry_a_snapshot_over_what_people_do, |world| async {
    tell_all(world, Subject::People, Listening::Live).await;
});

story!(replayed_events_carry_a_snapshot_over_what_people_do, |world| async {
    tell_all(world, Subject::People, Listening::Replayed).await;
});

story!(events_carry_a_snapshot_over_what_groups_do, |world| async {
    tell_all(world, Subject::Groups, Listening::Live).await;
});

story!(replayed_events_carry_a_snapshot_over_what_groups_do, |world| async {
    tell_all(world, Subject::Groups, Listening::Replayed).await;
});

story!(events_carry_a_snapshot_over_what_messages_do, |world| async {
    tell_all(world, Subject::Messages, Listening::Live).await;
});

story!(replayed_events_carry_a_snapshot_over_what_messages_do, |world| async {
    tell_all(world, Subject::Messages, Listening::Replayed).await;
});

#[test]
fn every_mutation_has_a_case() {
    let shape = schema::committed_shape();
    let cases: BTreeSet<&str> = CASES.iter().map(|case| case.mutation).collect();
    let mutations: BTreeSet<&str> = shape.fields_of("Mutation").collect();
    let missing: Vec<_> = mutations.difference(&cases).collect();
    assert!(missing.is_empty(), "without a case in tests/integration/snapshots/cases.rs: {missing:?}");
    let unknown: Vec<_> = cases.difference(&mutations).collect();
    assert!(unknown.is_empty(), "cases of no mutation: {unknown:?}");
    for case in CASES {
        if let Told::AllBut(fields, reason) = case.told {
            assert!(!fields.is_empty() && reason.len() > 20, "{}: say which, and why", case.mutation);
        }
    }
}
