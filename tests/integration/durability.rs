//! What was answered stays (G1), and a repeated send is the same send (G2).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::json;

use crate::{story, support::*};

/// What became of the sends, by their key.
#[derive(Default)]
struct Sends {
    /// Answered: the id and the sequence.
    answered: BTreeMap<String, (String, i64)>,
    /// Sent, and nothing came back.
    unanswered: Vec<String>,
}

/// Sends until the server is gone.
async fn send_until_cut(
    person: Person,
    conversation: String,
    name: String,
    sends: Arc<Mutex<Sends>>,
    n: Arc<AtomicUsize>,
) {
    for m in 0.. {
        let key = format!("{name}.{m}");
        let input = json!({"conversationId": conversation, "body": key, "idempotencyKey": key});
        match person.try_send_input(input).await {
            Ok(payload) => {
                let node = &payload.ok()["messageEdge"]["node"];
                let answer =
                    (node["id"].as_str().expect("an id").to_owned(), node["sequence"].as_i64().expect("a number"));
                sends.lock().answered.insert(key, answer);
                n.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                sends.lock().unanswered.push(key);
                return;
            }
        }
    }
}

story!(a_server_killed_under_load_keeps_every_answered_send, |world| async {
    const N_ROUNDS: usize = 4;
    const N_SENDERS: usize = 8;
    let mut rng = world.rng();
    let mut server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let sends = Arc::new(Mutex::new(Sends::default()));
    for round in 0..N_ROUNDS {
        let n_answered = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..N_SENDERS)
            .map(|n| {
                let person = if n % 2 == 0 { alice.at(&server) } else { bob.at(&server) };
                let name = format!("{round}.{n}");
                let (sends, n_answered) = (Arc::clone(&sends), Arc::clone(&n_answered));
                tokio::spawn(send_until_cut(person, conversation.clone(), name, sends, n_answered))
            })
            .collect();
        let n_before_kill = 30 + rng.below(120) as usize;
        eventually("enough sends", async || (n_answered.load(Ordering::Relaxed) >= n_before_kill).then_some(())).await;
        server.kill9().await;
        for sender in senders {
            within(PATIENCE * 2, "the senders to notice", sender).await.expect("no send was refused");
        }

        server = world.server().await;
        let (alice, bob) = (alice.at(&server), bob.at(&server));
        // Whoever got no answer asks again with the same key: it is a first send or a repeated one, never a second.
        let unanswered = std::mem::take(&mut sends.lock().unanswered);
        assert!(!unanswered.is_empty(), "the kill came in the middle");
        for key in unanswered {
            let n: usize = key.split('.').nth(1).expect("a number").parse().expect("a number");
            let person = if n.is_multiple_of(2) { &alice } else { &bob };
            let input = json!({"conversationId": conversation, "body": key, "idempotencyKey": key});
            let payload = person.send_input(input).await;
            let node = &payload.ok()["messageEdge"]["node"];
            let answer = (node["id"].as_str().expect("an id").to_owned(), node["sequence"].as_i64().expect("a number"));
            sends.lock().answered.insert(key, answer);
        }
        let history = alice.history(&conversation).await;
        let stored: BTreeMap<String, (String, i64)> = history
            .iter()
            .map(|message| {
                let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
                (text(&message["body"]), (text(&message["id"]), message["sequence"].as_i64().expect("a number")))
            })
            .collect();
        assert_eq!(stored.len(), history.len(), "no key made two messages");
        assert_eq!(stored, sends.lock().answered, "what was answered is there, as it was answered, and nothing else");
        let sequences: Vec<i64> =
            history.iter().map(|message| message["sequence"].as_i64().expect("a number")).collect();
        assert_eq!(sequences, (1..=history.len() as i64).collect::<Vec<_>>(), "without a gap");
    }
});

story!(a_listener_misses_nothing_when_its_server_is_killed, |world| async {
    let server = world.server().await;
    let (alice, bob, conversation) = server.friends("alice", "bob").await;
    let socket = bob.socket().await;
    let mut ears = socket.listen(&conversation, &alice).await;
    let sends = Arc::new(Mutex::new(Sends::default()));
    let n_answered = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..4)
        .map(|n| {
            let (person, name) = (alice.clone(), format!("0.{n}"));
            let (sends, n_answered) = (Arc::clone(&sends), Arc::clone(&n_answered));
            tokio::spawn(send_until_cut(person, conversation.clone(), name, sends, n_answered))
        })
        .collect();
    let mut heard = Vec::new();
    let mut cursor = serde_json::Value::Null;
    while heard.len() < 50 {
        let event = ears.next().await;
        heard.push(event["messageEdge"]["node"]["sequence"].as_i64().expect("a number"));
        cursor = event["cursor"].clone();
    }
    server.kill9().await;
    while let Some(event) = ears.next_or_end().await {
        heard.push(event["messageEdge"]["node"]["sequence"].as_i64().expect("a number"));
        cursor = event["cursor"].clone();
    }
    for sender in senders {
        within(PATIENCE * 2, "the senders to notice", sender).await.expect("no send was refused");
    }
    let server = world.server().await;
    let last = alice.at(&server).send(&conversation, "The end.").await["sequence"].as_i64().expect("a number");
    let socket = bob.at(&server).socket().await;
    let mut ears = socket.subscribe(MESSAGE_EVENTS, json!({"conversationId": conversation, "after": cursor}));
    while heard.last() != Some(&last) {
        heard.push(ears.next().await["messageEdge"]["node"]["sequence"].as_i64().expect("a number"));
    }
    assert_eq!(heard, (heard[0]..=last).collect::<Vec<_>>(), "each once, in order");
});
