//! The shelf of ready operations in the playground: each is run as it lies there, and together they show the whole schema.

mod scenes;
mod shelf;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_graphql::parser::types::OperationType;
use serde_json::Value;

use self::{
    scenes::{Cast, Scene},
    shelf::{Operation, PLACEHOLDER, operations},
};
use crate::{npm_clients, schema::committed_shape, sqlite_story, story, support::*};

story!(every_query_and_mutation_on_the_shelf_succeeds, |world| async {
    let server = world.server().await;
    let cast = Cast::of(&server).await;
    for operation in operations().iter().filter(|operation| operation.kind != OperationType::Subscription) {
        let scene = scene_of(&cast, operation).await;
        let answer = scene.who.graphql(&operation.text, variables_of(operation, &scene)).await;
        assert!(answer.errors().is_empty(), "{}: {}", operation.path, answer.text);
        for root in &operation.roots {
            assert!(!answer.body["data"][root].is_null(), "{} shows nothing: {}", operation.path, answer.text);
        }
        assert!(!refuses(&answer.body["data"]), "{} was refused: {}", operation.path, answer.text);
        let shows_something = operation.kind == OperationType::Mutation || lists_something(&answer.body["data"]);
        assert!(shows_something, "{} lists nothing: {}", operation.path, answer.text);
    }
});

story!(every_subscription_on_the_shelf_tells_what_happens, |world| async {
    let server = world.server().await;
    let cast = Cast::of(&server).await;
    for operation in operations().iter().filter(|operation| operation.kind == OperationType::Subscription) {
        let scene = scene_of(&cast, operation).await;
        let socket = scene.who.socket().await;
        let mut ears = socket.subscribe(&operation.text, variables_of(operation, &scene));
        assert!(hears(&cast, operation, &mut ears).await, "{} told nothing", operation.path);
    }
});

/// Whether a subscription tells of what the cast does. The first time may come before it is live.
async fn hears(cast: &Cast<'_>, operation: &Operation, ears: &mut Subscription) -> bool {
    for attempt in 0..20 {
        cast.make_happen(&operation.path, attempt).await;
        while let Some(told) = ears.try_next(Duration::from_millis(500)).await {
            // That the stream begins is not yet something that happened.
            if told["event"]["__typename"] != "CaughtUp" {
                return true;
            }
        }
    }
    false
}

async fn scene_of(cast: &Cast<'_>, operation: &Operation) -> Scene {
    let scene = cast.scene(&operation.path).await;
    scene.unwrap_or_else(|| {
        panic!("nobody has said how to run {}: see tests/integration/operations/scenes.rs", operation.path)
    })
}

/// The variables of the example, with something real in each placeholder.
fn variables_of(operation: &Operation, scene: &Scene) -> Value {
    let mut variables = operation.variables.clone();
    for (place, value) in &scene.filled {
        let there = variables.pointer_mut(place);
        *there.unwrap_or_else(|| panic!("the variables of {} have no {place}", operation.path)) = value.as_str().into();
    }
    assert!(!variables.to_string().contains(PLACEHOLDER), "not filled in, of {}: {variables}", operation.path);
    variables
}

/// Whether there are `userErrors` anywhere.
fn refuses(data: &Value) -> bool {
    match data {
        Value::Object(fields) => fields.iter().any(|(name, value)| match value {
            Value::Array(errors) if name == "userErrors" => !errors.is_empty(),
            _ => refuses(value),
        }),
        Value::Array(items) => items.iter().any(refuses),
        _ => false,
    }
}

/// Whether the outermost pages have something on them.
fn lists_something(data: &Value) -> bool {
    let Value::Object(fields) = data else { return true };
    fields.iter().all(|(name, value)| match value {
        Value::Array(items) if name == "nodes" || name == "edges" => !items.is_empty(),
        _ => lists_something(value),
    })
}

#[test]
fn the_shelf_shows_every_root_field() {
    let operations = operations();
    let shape = committed_shape();
    for (name, kind) in [
        ("Query", OperationType::Query),
        ("Mutation", OperationType::Mutation),
        ("Subscription", OperationType::Subscription),
    ] {
        let shown: BTreeSet<&str> = operations
            .iter()
            .filter(|operation| operation.kind == kind)
            .flat_map(|operation| operation.roots.iter().map(String::as_str))
            .collect();
        let missing: Vec<_> = shape.fields_of(name).filter(|field| !shown.contains(field)).collect();
        assert!(missing.is_empty(), "no operation in playground/operations shows, of {name}: {}", missing.join(", "));
    }
}

#[test]
fn every_operation_says_what_it_does_what_it_needs_and_what_comes_next() {
    let operations = operations();
    let names: BTreeMap<&str, &str> =
        operations.iter().map(|operation| (operation.name.as_str(), operation.path.as_str())).collect();
    assert_eq!(names.len(), operations.len(), "two operations have the same name");
    for operation in &operations {
        let (path, explanation) = (&operation.path, operation.explanation());
        let (what, rest) = explanation.split_once("Needs: ").unwrap_or_else(|| panic!("{path} says no needs"));
        let (_, next) = rest.split_once("Next: ").unwrap_or_else(|| panic!("{path} does not say what comes next"));
        assert!(what.trim().ends_with('.'), "{path} explains itself in sentences");
        for name in next.split(", ") {
            assert!(names.contains_key(name), "{path} sends the reader to {name}, which is not there");
        }
        let file_name = path.split('/').nth(1).expect("a slice and a name");
        assert_eq!(kebab(&operation.name), file_name, "a file is called like its operation");
        for variable in operation.variables.as_object().expect("variables are an object").keys() {
            assert!(operation.declared.contains(variable), "{path} does not declare ${variable}");
        }
    }
}

/// `SendMessage` → `send-message`
fn kebab(name: &str) -> String {
    let mut result = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !result.is_empty() {
            result.push('-');
        }
        result.extend(letter.to_lowercase());
    }
    result
}

sqlite_story!(the_reference_implementation_reads_the_schema_and_finds_them_valid, |world| async {
    let server = world.server().await;
    let mut introspect = npm_clients::script("introspect.mjs");
    introspect.env("KITH_URL", &server.url);
    npm_clients::run(introspect).await;
});
