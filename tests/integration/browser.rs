//! Pages in a real browser: the playground that the server serves, and the examples for other front ends.
//!
//! The scripts are in `tests/clients/browser`. Each of them fails, too, when a page logs an error or a warning, throws,
//! breaks its content security policy, or asks a foreign host for anything.

use std::time::Duration;

use tokio::process::Command;

use crate::{npm_clients::script, story, support::*};

/// A browser takes its time, above all beside others.
const LONGEST_SCRIPT: Duration = Duration::from_secs(110);

/// A script of `tests/clients/browser` that is given a server.
fn browser(name: &str, server: &Server) -> Command {
    let mut command = script(&format!("browser/{name}.mjs"));
    command.env("KITH_URL", &server.url).env("KITH_TIMEOUT", (LONGEST_SCRIPT.as_secs() - 5).to_string());
    command
}

/// Runs a script to its end; its words are shown when it fails.
async fn run(mut command: Command) {
    let output = within(LONGEST_SCRIPT, "the script to end", command.output()).await.expect("node can be run");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "the script failed:\n{said}");
}

/// A script with two friends, of whom one reads in the browser and one writes by the API.
async fn reader_and_writer(name: &str, server: &Server) -> Command {
    let (reader, writer, conversation) = server.friends("reader", "writer").await;
    let mut command = browser(name, server);
    command.env("KITH_CONVERSATION", conversation);
    for (who, person) in [("READER", &reader), ("WRITER", &writer)] {
        command.env(format!("KITH_{who}"), &person.name).env(format!("KITH_{who}_PASSWORD"), &person.password);
    }
    command
}

/// An example whose connection is cut every second, and whose access tokens live for seconds, ends with a list on the
/// screen that equals the database's.
async fn survives_a_storm(world: &World, example: &str) {
    let server = world.server_with(Options::default().set("KITH_ACCESS_TOKEN_SECONDS", 4)).await;
    let mut storm = reader_and_writer("example", &server).await;
    storm.env("KITH_EXAMPLE", example);
    run(storm).await;
}

story!(the_apollo_example_survives_a_storm, |world| async {
    survives_a_storm(world, "apollo").await;
});

story!(the_urql_example_survives_a_storm, |world| async {
    survives_a_storm(world, "urql").await;
});

#[test]
fn an_example_is_short_enough_to_be_read() {
    for example in ["apollo", "urql"] {
        let source = format!("{}/playground/examples/{example}/src", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(&source).expect("its source").map(|entry| entry.expect("an entry").path());
        // What is in folders is generated.
        let lines: usize = files
            .filter(|path| path.is_file())
            .map(|path| std::fs::read_to_string(path).expect("text").lines().count())
            .sum();
        assert!((50..150).contains(&lines), "{example} has {lines} lines");
    }
}

story!(the_explorer_runs_a_query_and_a_subscription, |world| async {
    let server = world.server().await;
    run(reader_and_writer("explorer", &server).await).await;
});

story!(two_people_meet_and_write_in_the_chat, |world| async {
    let server = world.server().await;
    run(browser("chat", &server)).await;
});

story!(the_chat_fetches_anew_what_was_too_much_to_be_replayed, |world| async {
    let server = world.server().await;
    run(reader_and_writer("resync", &server).await).await;
});

story!(much_to_read_in_the_chat_is_found_and_nothing_is_read_unseen, |world| async {
    let server = world.server().await;
    run(reader_and_writer("reading", &server).await).await;
});

story!(the_end_of_a_session_is_told_and_leaves_what_was_not_sent, |world| async {
    let server = world.server().await;
    run(reader_and_writer("session", &server).await).await;
});

story!(no_screen_of_the_chat_is_closed_to_anybody, |world| async {
    let server = world.server().await;
    run(browser("screens", &server)).await;
});
