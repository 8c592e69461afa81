//! What was released stays: the schema against that of the last release, and what its clients send.

use std::{fs, path::PathBuf, process::Output};

use serde_json::json;

use crate::{npm_clients::script, schema, sqlite_story, support::*};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The version of a released schema's file.
fn version_of(path: &std::path::Path) -> Option<(u64, u64, u64)> {
    let name = path.file_name()?.to_str()?.strip_prefix('v')?.strip_suffix(".graphql")?;
    let mut parts = name.splitn(3, '.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// The newest released schema: its path, its feature level and its text.
fn newest_release() -> Option<(PathBuf, i64, String)> {
    let releases = fs::read_dir(repository().join("schema/releases")).expect("the folder of releases is there");
    let path = releases.map(|entry| entry.expect("an entry").path()).filter(|path| version_of(path).is_some());
    let path = path.max_by_key(|path| version_of(path))?;
    let text = fs::read_to_string(&path).expect("is read");
    let (head, sdl) = text.split_once('\n').expect("more than a line");
    let level = head.strip_prefix("# featureLevel: ").and_then(|level| level.parse().ok());
    let level = level.unwrap_or_else(|| panic!("{}: the first line says `# featureLevel: N`", path.display()));
    Some((path, level, sdl.to_owned()))
}

/// What a client may rely on: descriptions and order aside.
fn facts(sdl: &str) -> String {
    format!("{:?}", schema::Shape::of(sdl).facts())
}

sqlite_story!(the_feature_level_grows_with_the_schema, |world| async {
    let server = world.server().await;
    let answer = server.anonymous().ask("{ server { featureLevel } }", json!({})).await;
    let level = answer["server"]["featureLevel"].as_i64().expect("a number");
    let Some((path, released, sdl)) = newest_release() else { return };
    let expected = if facts(&sdl) == facts(&schema::committed()) { released } else { released + 1 };
    assert_eq!(
        level,
        expected,
        "FEATURE_LEVEL in src/accounts/graphql.rs must be {expected}: {} has {released}, and {}. (If that version is not \
         tagged yet, `scripts/release-schema` records it anew.)",
        path.display(),
        if expected == released { "the schema is the same" } else { "the schema has changed since" }
    );
});

async fn compare(old: &str, new: &str, world: &World) -> Output {
    let (old_file, new_file) = (world.file("old.graphql"), world.file("new.graphql"));
    fs::write(&old_file, old).expect("is written");
    fs::write(&new_file, new).expect("is written");
    let mut command = script("breaking.mjs");
    command.env("KITH_OLD", old_file).env("KITH_NEW", new_file);
    within(PATIENCE * 6, "the comparison", command.output()).await.expect("node can be run")
}

sqlite_story!(nothing_is_taken_from_clients_of_released_versions, |world| async {
    assert!(newest_release().is_some(), "`scripts/release-schema` records one");
    let schema = repository().join("schema");
    let mut command = script("breaking.mjs");
    command
        .current_dir(world.dir())
        .env("KITH_RELEASES", schema.join("releases"))
        .env("KITH_ACCEPTED", schema.join("announced-changes.txt"))
        .env("KITH_OPERATIONS", schema.join("operations"))
        .env("KITH_NEW", repository().join("schema.graphql"));
    let output = within(PATIENCE * 6, "the comparison", command.output()).await.expect("node can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("; 0 recorded"), "operations were recorded: {said}");
});

sqlite_story!(what_breaks_clients_is_found, |world| async {
    const OLD: &str = "
        type Query { user(name: String): User, all(first: Int): [User!]! }
        type User { id: ID!, name: String!, role: Role!, friend: User }
        type Group { id: ID! }
        union Thing = User | Group
        enum Role { ADMIN MEMBER }
        input Form { name: String, age: Int }
        type Mutation { send(form: Form!): Thing }";
    for (what, from, to, said) in [
        ("a field removed", "name: String!, role", "role", "User.name was removed"),
        ("a type that may be null now", "name: String!,", "name: String,", "User.name changed type"),
        ("another type", "id: ID!, name", "id: Int!, name", "User.id changed type"),
        (
            "a new required argument",
            "user(name: String)",
            "user(name: String, by: ID!)",
            "required arg by on Query.user",
        ),
        ("an argument that must be given now", "user(name: String)", "user(name: String!)", "Query.user"),
        ("an argument removed", "all(first: Int)", "all", "Query.all arg first was removed"),
        ("a new required input field", "age: Int", "age: Int, kind: ID!", "required field kind on input type Form"),
        ("an enum value removed", "ADMIN MEMBER", "MEMBER", "ADMIN was removed"),
        ("a member of a union removed", "User | Group", "User", "Group was removed from union type Thing"),
    ] {
        let new = OLD.replace(from, to);
        assert_ne!(new, OLD, "{what}");
        let output = compare(OLD, &new, world).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && text.contains(said), "{what}: {text}");
    }
    for (what, from, to) in [
        ("nothing", "", ""),
        ("a field added", "friend: User", "friend: User, since: String"),
        ("an optional argument added", "user(name: String)", "user(name: String, by: ID)"),
        ("a type that is never null now", "friend: User ", "friend: User! "),
        ("a type added", "enum Role", "type New { id: ID! } enum Role"),
        ("a member of a union added", "User | Group", "User | Group | Query"),
        ("a deprecation", "friend: User", "friend: User @deprecated(reason: \"none\")"),
    ] {
        let output = compare(OLD, &OLD.replace(from, to), world).await;
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stdout));
    }

    // Announced, it may go; what clients send must still be valid.
    let operations = world.file("operations");
    fs::create_dir_all(operations.join("v1.0.0")).expect("is made");
    fs::write(operations.join("v1.0.0/user.graphql"), "{ user { id friend { id } } }").expect("is written");
    let (releases, announced, new) = (world.file("releases"), world.file("announced"), world.file("new.graphql"));
    fs::create_dir(&releases).expect("is made");
    // The newest by number, not by letters.
    fs::write(releases.join("v1.9.0.graphql"), "type Query { gone: ID }").expect("is written");
    fs::write(releases.join("v1.10.0.graphql"), OLD).expect("is written");
    fs::write(&announced, "User.name was removed.\n").expect("is written");
    let against = async |schema: &str| {
        fs::write(&new, schema).expect("is written");
        let mut command = script("breaking.mjs");
        command.env("KITH_RELEASES", &releases).env("KITH_NEW", &new).env("KITH_ACCEPTED", &announced);
        command.env("KITH_OPERATIONS", &operations);
        within(PATIENCE * 6, "the comparison", command.output()).await.expect("node can be run")
    };
    let output = against(&OLD.replace("name: String!, role", "role")).await;
    assert!(output.status.success(), "{output:?}");
    let output = against(&OLD.replace(", friend: User", "")).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("Cannot query field \"friend\""), "{said}");
});
