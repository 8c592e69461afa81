//! Emoji at messages.

use futures_util::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};

use crate::{full_story, story, support::*};

/// Follows one conversation's reactions, the same for everybody.
const SHARED: &str = "subscription($conversationId: ID!, $after: String) {
    messageEvents(conversationId: $conversationId, after: $after) {
        type cursor messageEdge { node { id sequence reactions { emoji count } } } } }";

/// The same, with what only the viewer knows.
const OWN: &str = "subscription($conversationId: ID!, $after: String) {
    messageEvents(conversationId: $conversationId, after: $after) {
        type cursor messageEdge { node { id sequence reactions { emoji count viewerHasReacted } } } } }";

const EVERYTHING: &str = "subscription($after: String) { events(after: $after) { cursor event { __typename
    ... on MessageEvent { type messageEdge { node { id reactions { emoji count viewerHasReacted } } } } } } }";

fn reactions(value: &Value) -> &Value {
    &value["messageEdge"]["node"]["reactions"]
}

/// `👍2 ❤️1*`: each emoji with its count, and a star where the viewer is among them.
fn shown(reactions: &Value) -> String {
    let shown = reactions.as_array().expect("a list").iter().map(|reaction| {
        let star = if reaction["viewerHasReacted"] == true { "*" } else { "" };
        format!("{}{}{star}", reaction["emoji"].as_str().expect("an emoji"), reaction["count"])
    });
    shown.collect::<Vec<_>>().join(" ")
}

async fn standing(person: &Person, message: &Value) -> String {
    let query = "query($id: ID!) { node(id: $id) { ... on Message { reactions { emoji count viewerHasReacted } } } }";
    shown(&person.ask(query, json!({"id": message["id"]})).await["node"]["reactions"])
}

/// Tries again where the database has too much to do at once: that changes nothing.
async fn react_until_answered(person: &Person, mutation: &str, message: &Value, emoji: &str) {
    let answered = async || {
        let payload = person.react(mutation, message, emoji).await;
        (payload.code() != Some("UNAVAILABLE")).then_some(payload)
    };
    eventually("the reaction to be answered", answered).await.ok();
}

/// A cursor from which nothing is missed.
async fn cursor_now(listener: &Person, speaker: &Person, conversation: &str) -> Value {
    let socket = listener.socket().await;
    let mut ears = socket.listen(conversation, speaker).await;
    speaker.send(conversation, "From here on.").await;
    ears.next().await["cursor"].take()
}

story!(a_reaction_is_counted_shown_and_heard, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let after = json!({"conversationId": conversation, "after": cursor_now(&bob, &alice, &conversation).await});
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let mut shared = bob_socket.subscribe(SHARED, after.clone());
    let mut to_alice = alice_socket.subscribe(OWN, after.clone());
    let mut to_bob = bob_socket.subscribe(OWN, after.clone());
    let message = alice.send(&conversation, "What do you think?").await;
    for ears in [&mut shared, &mut to_alice, &mut to_bob] {
        let added = ears.next().await;
        assert_eq!((added["type"].as_str(), reactions(&added)), (Some("ADDED"), &json!([])));
    }

    // What is done, and what Alice and Bob see then.
    let steps = [
        (&bob, "addReaction", "❤", "❤️1", "❤️1*"),
        (&alice, "addReaction", "👍🏽", "❤️1 👍🏽1*", "❤️1* 👍🏽1"),
        (&bob, "addReaction", "👍🏽", "❤️1 👍🏽2*", "❤️1* 👍🏽2*"),
        (&alice, "addReaction", "👨‍👩‍👧‍👦", "❤️1 👍🏽2* 👨‍👩‍👧‍👦1*", "❤️1* 👍🏽2* 👨‍👩‍👧‍👦1"),
        // Who used it first leaves it; it keeps its place.
        (&alice, "removeReaction", "👍🏽", "❤️1 👍🏽1 👨‍👩‍👧‍👦1*", "❤️1* 👍🏽1* 👨‍👩‍👧‍👦1"),
        // Nobody stands by it any more: it comes again as the last.
        (&bob, "removeReaction", "❤️", "👍🏽1 👨‍👩‍👧‍👦1*", "👍🏽1* 👨‍👩‍👧‍👦1"),
        (&bob, "addReaction", "❤️", "👍🏽1 👨‍👩‍👧‍👦1* ❤️1", "👍🏽1* 👨‍👩‍👧‍👦1 ❤️1*"),
    ];
    for (who, mutation, emoji, for_alice, for_bob) in steps {
        let payload = who.react(mutation, &message, emoji).await;
        let expected = if who.name == "alice" { for_alice } else { for_bob };
        assert_eq!(shown(reactions(payload.ok())), expected, "{mutation} {emoji}");
        assert_eq!(standing(&alice, &message).await, for_alice);
        assert_eq!(standing(&bob, &message).await, for_bob);
        for (ears, expected) in [
            (&mut shared, for_alice.replace('*', "")),
            (&mut to_alice, for_alice.into()),
            (&mut to_bob, for_bob.into()),
        ] {
            let heard = ears.next().await;
            assert_eq!((heard["type"].as_str(), shown(reactions(&heard))), (Some("REACTED"), expected));
            assert_eq!(heard["messageEdge"]["node"]["id"], message["id"]);
        }
    }

    // What changes nothing succeeds and is not told.
    for (who, mutation, emoji) in [
        (&bob, "addReaction", "❤"),
        (&bob, "addReaction", "❤️"),
        (&bob, "removeReaction", "👨‍👩‍👧‍👦"),
        (&alice, "removeReaction", "🎉"),
    ] {
        who.react(mutation, &message, emoji).await.ok();
    }
    // An edit shows what stands there, too.
    let edit = json!({"messageId": message["id"], "body": "What do you all think?"});
    alice.mutate("editMessage", edit, "messageEdge { cursor }").await.ok();
    let heard = to_bob.next().await;
    assert_eq!((heard["type"].as_str(), shown(reactions(&heard))), (Some("EDITED"), "👍🏽1* 👨‍👩‍👧‍👦1 ❤️1*".into()));

    // Resumed from before, every change is there once, with the state as it is now.
    let mut resumed = alice.socket().await;
    let replayed = resumed.subscribe(OWN, after.clone()).take(9).await;
    let types: Vec<&str> = replayed.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    assert_eq!(types, [&["ADDED"][..], &["REACTED"; 7], &["EDITED"]].concat());
    assert!(replayed.iter().all(|event| shown(reactions(event)) == "👍🏽1 👨‍👩‍👧‍👦1* ❤️1"), "{replayed:?}");
    resumed = alice.socket().await;
    let mut everything = resumed.subscribe(EVERYTHING, json!({}));
    everything.until(|event| event["__typename"] == "CaughtUp").await;
    bob.react("addReaction", &message, "🇩🇪").await.ok();
    let heard = everything.until(|event| event["type"] == "REACTED").await.pop().expect("heard");
    assert_eq!(shown(reactions(&heard["event"])), "👍🏽1 👨‍👩‍👧‍👦1* ❤️1 🇩🇪1");

    // A deleted message has none, and takes none.
    alice.mutate("deleteMessage", json!({"messageId": message["id"]}), "messageEdge { cursor }").await.ok();
    assert_eq!(standing(&bob, &message).await, "");
    for mutation in ["addReaction", "removeReaction"] {
        assert_eq!(bob.react(mutation, &message, "👍🏽").await.code(), Some("NOT_FOUND"));
    }
    assert_eq!(world.count("reaction").await, 0);
    let heard = to_bob.take(2).await;
    assert_eq!((heard[1]["type"].as_str(), reactions(&heard[1])), (Some("DELETED"), &json!([])));
});

story!(what_may_not_be_reacted_with_is_refused, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let carol = server.person("carol").await;
    let message = alice.send(&conversation, "Hello.").await;
    for text in ["", "a", "1", ":)", "👍👍", "\u{fe0f}", "🇩", "👍\u{0}", "\u{0}", "heart", &"👍".repeat(5000)]
    {
        for mutation in ["addReaction", "removeReaction"] {
            let refused = bob.react(mutation, &message, text).await;
            assert_eq!(refused.code(), Some("INVALID_INPUT"), "{text:.20?}");
            assert_eq!(refused.value()["userErrors"][0]["field"], json!(["input", "emoji"]));
        }
    }
    for mutation in ["addReaction", "removeReaction"] {
        assert_eq!(carol.react(mutation, &message, "👍").await.code(), Some("NOT_FOUND"));
        let missing = json!({"id": "msg_01h2xcejqtf2nbrexx3vqjhp41"});
        assert_eq!(bob.react(mutation, &missing, "👍").await.code(), Some("NOT_FOUND"));
    }

    let faces: Vec<String> = ('😀'..='😔').map(String::from).collect();
    for face in &faces[..20] {
        bob.react("addReaction", &message, face).await.ok();
    }
    let refused = alice.react("addReaction", &message, &faces[20]).await;
    assert_eq!(refused.code(), Some("LIMIT_REACHED"));
    // One that is there already is no new one; and one that goes makes room.
    alice.react("addReaction", &message, &faces[3]).await.ok();
    bob.react("removeReaction", &message, &faces[0]).await.ok();
    alice.react("addReaction", &message, &faces[20]).await.ok();
    let counts = standing(&alice, &message).await;
    assert!(counts.starts_with("😁1 😂1 😃2* ") && counts.ends_with("😔1*"), "{counts}");

    alice.to_user("removeFriend", &bob).await.ok();
    for who in [&alice, &bob] {
        for (mutation, emoji) in [("addReaction", "🎉"), ("removeReaction", "😃")] {
            assert_eq!(who.react(mutation, &message, emoji).await.code(), Some("NOT_FRIENDS"), "{}", who.name);
        }
        assert!(standing(who, &message).await.contains("😃2*") == (who.name == "alice" || who.name == "bob"));
    }
});

story!(reactions_that_race_are_counted_right, |world| async {
    const N: usize = 20;
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let names: Vec<String> = (0..N).map(|n| format!("extra{n}")).collect();
    let people: Vec<Person> = stream::iter(&names).map(|name| server.person(name)).buffered(4).collect().await;
    world.all_join("extra").await;
    let after = json!({"conversationId": conversation, "after": cursor_now(&bob, &alice, &conversation).await});
    let socket = bob.socket().await;
    let mut ears = socket.subscribe(SHARED, after);
    let message = alice.send(&conversation, "All together now.").await;
    ears.next().await;

    // One person, twenty times at once.
    join_all((0..N).map(|_| react_until_answered(&alice, "addReaction", &message, "👍"))).await;
    assert_eq!(standing(&alice, &message).await, "👍1*");
    assert_eq!(shown(reactions(&ears.next().await)), "👍1");
    // Twenty people, each with the same and with one of two others.
    join_all(people.iter().enumerate().flat_map(|(n, person)| {
        let other = if n % 2 == 0 { "🎉" } else { "❤️" };
        ["👍", other].map(|emoji| react_until_answered(person, "addReaction", &message, emoji))
    }))
    .await;
    let counts = standing(&alice, &message).await;
    assert!(["👍21* 🎉10 ❤️10", "👍21* ❤️10 🎉10"].contains(&counts.as_str()), "{counts}");
    // Each is told once, and every count is one step from the last.
    let total = |event: &Value| -> i64 {
        reactions(event).as_array().expect("a list").iter().map(|one| one["count"].as_i64().expect("a number")).sum()
    };
    let heard = ears.take(2 * N).await;
    assert_eq!(heard.iter().map(total).collect::<Vec<_>>(), (2..=1 + 2 * N as i64).collect::<Vec<_>>());
    assert_eq!(shown(reactions(heard.last().expect("some"))), counts.replace('*', ""));
    // And away again, all at once.
    join_all(people.iter().map(|person| react_until_answered(person, "removeReaction", &message, "👍"))).await;
    assert_eq!(standing(&alice, &message).await, counts.replace("👍21", "👍1"));
    // Who is no member any more is refused.
    world.sql("DELETE FROM member WHERE role = 'member' AND user_id IN (SELECT id FROM \"user\" WHERE username = 'extra0')").await;
    assert_eq!(people[0].react("addReaction", &message, "👍").await.code(), Some("NOT_FOUND"));
});

full_story!(reactions_are_heard_in_one_order_in_two_processes, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let after = json!({"conversationId": conversation, "after": cursor_now(&bob, &alice, &conversation).await});
    let (on_a, on_b) = tokio::join!(alice.socket(), async { bob.at(&b).socket().await });
    let mut alice_hears = on_a.subscribe(SHARED, after.clone());
    let mut bob_hears = on_b.subscribe(SHARED, after);
    let message = alice.send(&conversation, "Faster!").await;
    let faces: Vec<String> = ('😀'..='😉').map(String::from).collect();
    let (at_a, at_b) = (alice.at(&a), bob.at(&b));
    tokio::join!(
        async {
            for face in &faces {
                at_a.react("addReaction", &message, face).await.ok();
            }
        },
        async {
            for face in faces.iter().rev() {
                at_b.react("addReaction", &message, face).await.ok();
            }
        }
    );
    let n = 1 + 2 * faces.len();
    let (by_alice, by_bob) = (alice_hears.take(n).await, bob_hears.take(n).await);
    // What one of them had to read from the log shows the state as it was then, so only the order is compared.
    let order = |heard: &[Value]| heard.iter().map(|event| event["cursor"].clone()).collect::<Vec<Value>>();
    assert_eq!(order(&by_alice), order(&by_bob));
    assert_eq!(by_alice.last(), by_bob.last());
    let last = by_alice.last().expect("some");
    assert!(reactions(last).as_array().expect("a list").iter().all(|one| one["count"] == 2), "{last}");
    assert_eq!(standing(&at_b, &message).await, standing(&at_a, &message).await);
});

story!(a_new_message_asks_the_database_nothing_about_reactions, |world| async {
    let server = world
        .server_with(Options::default().set("RUST_LOG", "warn,sqlx::query=debug").set("KITH_LOG_FORMAT", "json"))
        .await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let after = json!({"conversationId": conversation, "after": cursor_now(&bob, &alice, &conversation).await});
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let mut ears = [alice_socket.subscribe(OWN, after.clone()), bob_socket.subscribe(OWN, after)];
    let n_asked = || {
        let is_one = |line: &&str| line.contains("\"target\":\"sqlx::query\"") && line.contains("reaction");
        server.logged().lines().filter(is_one).count()
    };
    let mut message = alice.send(&conversation, "Live?").await;
    for ears in &mut ears {
        ears.next().await;
    }
    let before = n_asked();
    for n in 0..5 {
        message = alice.send(&conversation, &format!("{n}")).await;
        for ears in &mut ears {
            assert_eq!(reactions(&ears.next().await), &json!([]));
        }
    }
    assert_eq!(n_asked(), before, "none for a message");
    let payload =
        bob.mutate("addReaction", json!({"messageId": message["id"], "emoji": "👍"}), "userErrors { code }").await;
    payload.ok();
    let of_the_change = n_asked() - before;
    assert!(of_the_change > 0, "the change itself looks: the statements are seen");
    let shown_to = [shown(reactions(&ears[0].next().await)), shown(reactions(&ears[1].next().await))];
    assert_eq!(shown_to, ["👍1", "👍1*"]);
    assert_eq!(n_asked() - before, of_the_change, "none for telling it");
});
