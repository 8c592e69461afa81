//! The schema of the database: there and back again, and an index on every foreign key.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use crate::{story, support::*};

async fn rows(database: &DatabaseConnection, sql: &str) -> Vec<Vec<String>> {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(statement).await.expect("the catalogue can be read");
    rows.iter()
        .map(|row| {
            let n = row.column_names().len();
            (0..n).map(|n| row.try_get_by_index::<Option<String>>(n).expect("a text").unwrap_or_default()).collect()
        })
        .collect()
}

/// Everything that a database holds besides rows, in a form to compare.
async fn shape(world: &World, database: &DatabaseConnection) -> Vec<Vec<String>> {
    match world.backend {
        Backend::Sqlite => {
            rows(
                database,
                "SELECT type, name, sql FROM sqlite_master
                 WHERE name NOT LIKE 'sqlite_%' AND name <> 'seaql_migrations' ORDER BY type, name",
            )
            .await
        }
        Backend::Full => {
            rows(
                database,
                "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text, coalesce(column_default, '')::text
                 FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'seaql_migrations'
                 UNION ALL
                 SELECT tablename::text, indexname::text, indexdef, '', '' FROM pg_indexes
                 WHERE schemaname = 'public' AND tablename <> 'seaql_migrations'
                 UNION ALL
                 SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), '', '' FROM pg_constraint
                 WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conrelid::regclass::text <> 'seaql_migrations'
                 UNION ALL
                 SELECT proname::text, pg_get_functiondef(oid), '', '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
                 ORDER BY 1, 2, 3",
            )
            .await
        }
    }
}

story!(migrations_go_up_down_and_up_again, |world| async {
    let database = world.database().await;
    Migrator::up(&database, None).await.expect("up");
    let first = shape(world, &database).await;
    assert!(first.len() > 20, "there is something to take down: {first:?}");
    Migrator::down(&database, None).await.expect("down");
    let left = shape(world, &database).await;
    assert!(left.is_empty(), "left behind: {left:?}");
    Migrator::up(&database, None).await.expect("up again");
    assert_eq!(shape(world, &database).await, first);
    // One by one as well.
    for _ in 0..Migrator::migrations().len() {
        Migrator::down(&database, Some(1)).await.expect("one down");
    }
    assert!(shape(world, &database).await.is_empty());
    for _ in 0..Migrator::migrations().len() {
        Migrator::up(&database, Some(1)).await.expect("one up");
    }
    assert_eq!(shape(world, &database).await, first);
    database.close().await.expect("closes");
    assert!(world.server().await.is_ready().await, "and a server finds it complete");
});

story!(every_foreign_key_has_an_index, |world| async {
    let database = world.database().await;
    Migrator::up(&database, None).await.expect("up");
    let (keys, bare) = match world.backend {
        // A key is served when its columns are the first ones of an index.
        Backend::Full => {
            let keys = "SELECT conrelid::regclass::text, conname::text FROM pg_constraint
                        WHERE contype = 'f' AND connamespace = 'public'::regnamespace";
            let bare = format!(
                "{keys} AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = conrelid
                    AND (i.indkey::int2[])[0:cardinality(conkey) - 1] @> conkey)"
            );
            (rows(&database, keys).await, rows(&database, &bare).await)
        }
        Backend::Sqlite => {
            let keys = "SELECT t.name, k.\"from\" FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) k
                        WHERE t.type = 'table'";
            let bare = format!(
                "{keys} AND NOT EXISTS (SELECT 1 FROM pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c
                    WHERE c.seqno = 0 AND c.name = k.\"from\")
                 AND NOT EXISTS (SELECT 1 FROM pragma_table_info(t.name) p WHERE p.name = k.\"from\" AND p.pk = 1)"
            );
            (rows(&database, keys).await, rows(&database, &bare).await)
        }
    };
    assert!(keys.len() > 10, "the keys are found: {keys:?}");
    assert!(bare.is_empty(), "foreign keys without an index: {bare:?}");
});

story!(production_migrates_when_told_to, |world| async {
    let production = || Options::default().set("KITH_ENV", "production");
    let unready = world.kith(&["serve"], production()).await;
    assert!(!unready.status.success(), "it does not serve a database that it does not know");
    let said = format!("{}{}", String::from_utf8_lossy(&unready.stdout), String::from_utf8_lossy(&unready.stderr));
    assert!(said.contains("kith migrate"), "it says what to do: {said}");
    for _ in 0..2 {
        let migrated = world.kith(&["migrate"], production()).await;
        assert!(migrated.status.success(), "{migrated:?}");
    }
    assert!(world.server_with(production()).await.is_ready().await);
});

story!(a_server_without_a_secret_does_not_serve_in_production, |world| async {
    assert!(world.kith(&["migrate"], Options::default()).await.status.success());
    for secret in ["", "too short"] {
        let options = Options::default().set("KITH_ENV", "production").set("KITH_JWT_SECRET", secret);
        let output = world.kith(&["serve"], options).await;
        assert!(!output.status.success(), "{secret:?}");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(said.to_lowercase().contains("jwt"), "it says what is wrong: {said}");
        assert!(!said.contains("too short"), "and does not repeat the secret: {said}");
    }
});

story!(a_server_starts_where_a_newer_version_has_migrated, |world| async {
    let server = world.server().await;
    let (alice, _, conversation) = server.friends("alice", "bob").await;
    assert!(server.terminate().await.success());
    world.sql("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_newer', 0)").await;
    for environment in ["development", "production"] {
        let server = world.server_with(Options::default().set("KITH_ENV", environment)).await;
        alice.at(&server).send(&conversation, "As ever.").await;
        assert!(server.logged().contains("m29991231_000001_newer"), "the operator is told");
        assert!(server.terminate().await.success());
    }
    let migrated = world.kith(&["migrate"], Options::default()).await;
    assert!(migrated.status.success(), "{migrated:?}");
    // What it lacks itself is another matter.
    world.sql("DELETE FROM seaql_migrations WHERE version LIKE '%_core'").await;
    let served = world.kith(&["serve"], Options::default().set("KITH_ENV", "production")).await;
    assert!(!served.status.success());
    let told = String::from_utf8_lossy(&[served.stdout, served.stderr].concat()).into_owned();
    assert!(told.contains("lacks 1 of this version's migrations"), "{told}");
});
