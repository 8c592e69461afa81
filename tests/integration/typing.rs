//! Who types, and how little is told of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{full_story, story, support::*};

const TYPING: &str = "
    subscription Typing($conversationId: ID!) {
        typing(conversationId: $conversationId) { conversationId user { id username } typing }
    }";

const EVERYTHING: &str = "
    subscription { events { cursor event { __typename
        ... on TypingEvent { conversationId user { id } typing }
        ... on MessageEvent { messageEdge { node { id } } }
    } } }";

/// Listens, and waits until that is live: somebody types until it is heard, and stops.
async fn listen(socket: &Socket, conversation: &str, typist: &Person) -> Subscription {
    let mut heard = socket.subscribe(TYPING, json!({"conversationId": conversation}));
    let mut event = None;
    for _ in 0..20 {
        typist.set_typing(conversation, true).await.ok();
        event = heard.try_next(Duration::from_millis(500)).await;
        if event.is_some() {
            break;
        }
    }
    let mut event = event.expect("the subscription never became live");
    typist.set_typing(conversation, false).await.ok();
    while event["typing"] != false {
        event = heard.next().await;
    }
    heard
}

/// Waits until what a person says of typing is told at once again.
async fn quiet(typist: &Person, conversation: &str, heard: &mut Subscription) {
    // Nothing is under way once this long nothing was heard.
    while heard.try_next(Duration::from_millis(3100)).await.is_some() {
        typist.set_typing(conversation, false).await.ok();
    }
}

fn typing(event: &Value) -> bool {
    event["typing"].as_bool().unwrap_or_else(|| panic!("no typing: {event}"))
}

story!(typing_is_told_and_its_end_too, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut heard = listen(&socket, &conversation, &alice).await;
    quiet(&alice, &conversation, &mut heard).await;

    alice.set_typing(&conversation, true).await.ok();
    let event = heard.next().await;
    let expected =
        json!({"conversationId": conversation, "user": {"id": alice.id, "username": "alice"}, "typing": true});
    assert_eq!(event, expected);
    // The end follows at once, and is told although it may not be told yet.
    alice.set_typing(&conversation, false).await.ok();
    assert!(!typing(&within(Duration::from_secs(4), "the end", heard.next()).await));
    // There is nothing to end any more.
    alice.set_typing(&conversation, false).await.ok();
    assert_eq!(heard.try_next(Duration::from_millis(3500)).await, None);
    let events = world.count("event").await;
    alice.set_typing(&conversation, true).await.ok();
    assert!(typing(&heard.next().await));
    assert_eq!(world.count("event").await, events, "nothing is stored");
});

story!(typing_ends_by_itself_after_five_seconds, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut heard = listen(&socket, &conversation, &alice).await;
    quiet(&alice, &conversation, &mut heard).await;
    alice.set_typing(&conversation, true).await.ok();
    assert!(typing(&heard.next().await));
    let began = Instant::now();
    assert!(!typing(&heard.next().await));
    let lasted = began.elapsed();
    assert!(lasted > Duration::from_millis(4800) && lasted < Duration::from_secs(7), "{lasted:?}");
    assert_eq!(heard.try_next(Duration::from_millis(500)).await, None, "one end is enough");

    // Repeated, it goes on, also when the repeats come between what may be told.
    let began = Instant::now();
    let repeating = async {
        while began.elapsed() < Duration::from_secs(9) {
            alice.set_typing(&conversation, true).await.ok();
            tokio::time::sleep(Duration::from_millis(2900)).await;
        }
    };
    let listening = async {
        let mut n_begun = 0;
        while typing(&heard.next().await) {
            n_begun += 1;
        }
        (n_begun, began.elapsed())
    };
    let ((), (n_begun, ended)) = tokio::join!(repeating, listening);
    assert!(ended > Duration::from_secs(12), "it ended {ended:?} after it began");
    assert!((2..=5).contains(&n_begun), "{n_begun} were told");
});

/// Says twice that she types, the second time before that may be told; how long it lasts for who listens.
async fn twice(alice: &Person, again: &Person, bob: &Person, conversation: &str) -> Duration {
    let socket = bob.socket().await;
    let mut heard = listen(&socket, conversation, alice).await;
    quiet(alice, conversation, &mut heard).await;
    alice.set_typing(conversation, true).await.ok();
    again.set_typing(conversation, true).await.ok();
    let said = Instant::now();
    while typing(&heard.next().await) {}
    said.elapsed()
}

story!(a_repeat_that_waited_does_not_prolong_what_it_says, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let lasted = twice(&alice, &alice, &bob, &conversation).await;
    assert!(lasted > Duration::from_millis(4800) && lasted < Duration::from_millis(6500), "{lasted:?}");
});

full_story!(a_repeat_on_another_process_counts_from_when_it_was_said, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    let lasted = twice(&alice, &alice.at(&b), &bob.at(&b), &conversation).await;
    assert!(lasted > Duration::from_millis(4800) && lasted < Duration::from_millis(6500), "{lasted:?}");
});

/// Says a lot on some processes, and counts what is heard.
async fn throttle(servers: &[&Server], alice: &Person, bob: &Person, conversation: &str) {
    let socket = bob.socket().await;
    let mut heard = listen(&socket, conversation, alice).await;
    quiet(alice, conversation, &mut heard).await;
    let began = Instant::now();
    let saying = async {
        let mut n = 0usize;
        while began.elapsed() < Duration::from_millis(7500) {
            // Mostly that she types, on all processes in turn; now and then that she does not.
            let alice = alice.at(servers[n % servers.len()]);
            alice.set_typing(conversation, !n.is_multiple_of(5)).await.ok();
            n += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The last word.
        alice.at(servers[n % servers.len()]).set_typing(conversation, false).await.ok();
        n
    };
    let listening = async {
        let mut told = Vec::new();
        while let Some(event) = heard.try_next(Duration::from_millis(4500)).await {
            told.push((began.elapsed(), typing(&event)));
        }
        told
    };
    let (n_said, told) = tokio::join!(saying, listening);
    assert!(n_said > 20, "{n_said}");
    // Those of the bus; the receiver ends by itself only what was last told five seconds ago, and that is not here.
    assert!((2..=5).contains(&told.len()), "{told:?}");
    // Half a second is for a busy machine.
    assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 > Duration::from_millis(2500)), "{told:?}");
    assert_eq!(told.last().map(|(_, typing)| *typing), Some(false), "the last word is told: {told:?}");
}

story!(however_often_it_is_said_it_is_told_once_in_three_seconds, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    throttle(&[&server], &alice, &bob, &conversation).await;
});

full_story!(processes_count_typing_together, |world| async {
    let (a, b) = (world.server().await, world.server().await);
    let (alice, bob, conversation) = a.friends("alice", "bob").await;
    throttle(&[&a, &b], &alice, &bob.at(&b), &conversation).await;
});

full_story!(typing_works_without_redis_on_each_process, |world| async {
    let mut redis = Redis::private(world).await;
    let server = world.server_with(Options::default().redis(redis.url())).await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    redis.kill().await;
    let socket = bob.socket().await;
    let started = Instant::now();
    listen(&socket, &conversation, &alice).await;
    assert!(started.elapsed() < PATIENCE);
});

story!(the_author_is_left_out_on_all_their_devices, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let (alice_socket, bob_socket) = tokio::join!(alice.socket(), bob.socket());
    let mut alice_hears = listen(&alice_socket, &conversation, &bob).await;
    let mut bob_hears = listen(&bob_socket, &conversation, &alice).await;
    let mut on_events = alice_socket.subscribe(EVERYTHING, json!({}));
    on_events.until(|event| event["__typename"] == "CaughtUp").await;
    quiet(&alice, &conversation, &mut bob_hears).await;
    quiet(&bob, &conversation, &mut alice_hears).await;

    // Another device of hers says it.
    alice.another_device().await.set_typing(&conversation, true).await.ok();
    assert!(typing(&bob_hears.next().await));
    bob.set_typing(&conversation, true).await.ok();
    let heard = alice_hears.next().await;
    assert_eq!(heard["user"]["id"], bob.id.as_str(), "of herself nothing");
    let heard = on_events.until(|event| event["__typename"] == "TypingEvent" && event["typing"] == true).await;
    assert!(heard.iter().all(|envelope| envelope["event"]["user"]["id"] != alice.id.as_str()), "{heard:?}");
    assert_eq!(heard.last().expect("one")["event"]["conversationId"], conversation.as_str());
    assert_eq!(heard.last().expect("one")["event"]["user"]["id"], bob.id.as_str());
});

story!(a_message_ends_the_typing_of_its_author, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut heard = listen(&socket, &conversation, &alice).await;
    quiet(&alice, &conversation, &mut heard).await;
    alice.set_typing(&conversation, true).await.ok();
    assert!(typing(&heard.next().await));
    // One more, which waits to be told when the message is sent.
    alice.set_typing(&conversation, true).await.ok();
    alice.send(&conversation, "There.").await;
    let sent = Instant::now();
    assert!(!typing(&heard.next().await));
    assert!(sent.elapsed() < Duration::from_secs(2), "not by the time that it lasts: {:?}", sent.elapsed());
    assert_eq!(heard.try_next(Duration::from_millis(4000)).await, None, "what was said before the message is over");
});

story!(who_cannot_send_cannot_type, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let stranger = server.person("stranger").await;
    let socket = bob.socket().await;
    let mut heard = listen(&socket, &conversation, &alice).await;
    let refused = stranger.set_typing(&conversation, true).await;
    assert_eq!(refused.code(), Some("NOT_FOUND"), "{}", refused.answer.text);
    let refused = alice.set_typing("conv_nonsense", true).await;
    assert_eq!(refused.code(), Some("INVALID_INPUT"), "{}", refused.answer.text);
    quiet(&alice, &conversation, &mut heard).await;
    alice.set_typing(&conversation, true).await.ok();
    assert!(typing(&heard.next().await));
    // It waits to be told when the friendship ends.
    alice.set_typing(&conversation, true).await.ok();
    bob.to_user("removeFriend", &alice).await.ok();
    let ended = Instant::now();
    assert!(!typing(&heard.next().await));
    assert!(ended.elapsed() < Duration::from_secs(2), "not by the time that it lasts: {:?}", ended.elapsed());
    for person in [&alice, &bob] {
        let refused = person.set_typing(&conversation, true).await;
        assert_eq!(refused.code(), Some("NOT_FRIENDS"), "{}", refused.answer.text);
    }
    assert_eq!(heard.try_next(Duration::from_millis(5500)).await, None, "nothing is told after the end");
});

story!(who_is_put_out_of_a_group_hears_nobody_type_there, |world| async {
    let server = world.server().await;
    let (alice, bob, _) = server.friends("alice", "bob").await;
    let group = alice.create_group("Chess").await;
    alice.bring(&group, &bob).await;
    let socket = bob.socket().await;
    let mut heard = listen(&socket, &group, &alice).await;
    quiet(&alice, &group, &mut heard).await;
    alice.to_member("removeMember", &group, &bob).await.ok();
    alice.set_typing(&group, true).await.ok();
    match heard.hear().await {
        Heard::Error(errors) => assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND", "{errors}"),
        other => panic!("heard {other:?}"),
    }
    let refused = bob.set_typing(&group, true).await;
    assert_eq!(refused.code(), Some("NOT_FOUND"), "{}", refused.answer.text);
});

story!(who_does_not_ask_for_typing_is_not_told, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut heard = listen(&socket, &conversation, &alice).await;
    quiet(&alice, &conversation, &mut heard).await;
    let (mut everything, _) = socket.follow(None).await;
    alice.set_typing(&conversation, true).await.ok();
    assert!(typing(&heard.next().await));
    let sent = alice.send(&conversation, "There.").await;
    let told = everything.until(|event| event["messageEdge"]["node"]["id"] == sent["id"]).await;
    assert!(told.iter().all(|envelope| envelope["event"]["__typename"] != "TypingEvent"), "{told:?}");
});

story!(too_much_is_gathered_and_not_refused, |world| async {
    let server = world.server_with(Options::default().rate_limits()).await;
    let (alice, _bob, conversation) = server.friends("alice", "bob").await;
    for n in 0..100 {
        alice.set_typing(&conversation, n % 2 == 0).await.ok();
    }
});
