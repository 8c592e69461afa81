//! Trusted documents: the operations of one's own clients, known before they are sent.
//!
//! `KITH_TRUSTED_DOCUMENTS` names a directory of
//!
//! * `*.graphql` and `*.gql` files, a document each: its ids are its file's name without the ending, and the SHA-256 of
//!   its text;
//! * `*.json` files, either the manifest of Apollo's `generate-persisted-query-manifest`
//!   (`{"format": "apollo-persisted-query-manifest", "version": 1, "operations": [{"id", "body"}]}`) or an object of ids and
//!   texts, as graphql-codegen and Relay write it (`persisted-documents.json`).
//!
//! Everything in it is parsed, held against the guard and validated against the schema at the start; one that fails
//! stops it. They keep the guard's limits like all others.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_graphql::{
    Response, Schema, ServerError,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute},
};
use serde::Deserialize;

use super::{
    Mutation, Query, Subscription, assemble,
    documents::{CachedDocument, DocumentCache},
    persisted::hash_of,
};
use crate::error::Error;

/// The documents of a directory, by id and by text.
#[derive(Debug, Default)]
pub struct TrustedDocuments {
    by_id: HashMap<String, Arc<CachedDocument>>,
    by_text: HashMap<Arc<str>, Arc<CachedDocument>>,
}

impl TrustedDocuments {
    /// Reads a directory. Fails with a sentence that names the file.
    pub async fn load(directory: &Path, documents: &DocumentCache) -> Result<Self, Error> {
        let failed = |path: &Path, why: &dyn std::fmt::Display| {
            Error::internal(format!("KITH_TRUSTED_DOCUMENTS: {}: {why}", path.display()))
        };
        let entries = std::fs::read_dir(directory).map_err(|error| failed(directory, &error))?;
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| failed(directory, &error))?.path());
        }
        // In an order of ours, so that the same file is named every time.
        paths.sort();
        let validator = Validator::new();
        let mut all = Self::default();
        for path in paths {
            let kind = path.extension().and_then(|extension| extension.to_str());
            let Some(kind @ ("graphql" | "gql" | "json")) = kind else { continue };
            let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
            let documents_of_file = match kind {
                "json" => read_manifest(&text).map_err(|why| failed(&path, &why))?,
                _ => {
                    let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    BTreeMap::from([(id, text)])
                }
            };
            for (id, text) in documents_of_file {
                let why = |why: &dyn std::fmt::Display| match kind {
                    "json" => failed(&path, &format!("the document {id:?}: {why}")),
                    _ => failed(&path, why),
                };
                let document = match all.by_text.get(&*text) {
                    Some(document) => Arc::clone(document),
                    None => {
                        let document = documents.get(&text).map_err(|error| why(&error))?;
                        validator.check(&document).await.map_err(|error| why(&error.message))?;
                        all.by_text.insert(Arc::clone(&document.source), Arc::clone(&document));
                        document
                    }
                };
                for id in [id.clone(), hash_of(&text)] {
                    let other = all.by_id.insert(id.clone(), Arc::clone(&document));
                    if other.is_some_and(|other| other.source != document.source) {
                        return Err(why(&format!("the id {id:?} is that of another document too")));
                    }
                }
            }
        }
        if all.by_text.is_empty() {
            return Err(failed(directory, &"there is no document in it"));
        }
        Ok(all)
    }

    pub fn by_id(&self, id: &str) -> Option<&Arc<CachedDocument>> {
        self.by_id.get(id)
    }

    pub fn by_text(&self, text: &str) -> Option<&Arc<CachedDocument>> {
        self.by_text.get(text)
    }

    /// How many there are.
    pub fn n_documents(&self) -> usize {
        self.by_text.len()
    }
}

/// Ids and texts.
fn read_manifest(json: &str) -> Result<BTreeMap<String, String>, String> {
    #[derive(Deserialize)]
    struct Manifest {
        version: u32,
        operations: Vec<Operation>,
    }
    #[derive(Deserialize)]
    struct Operation {
        id: String,
        body: String,
    }
    #[derive(Deserialize)]
    struct Format {
        format: serde_json::Value,
        #[allow(dead_code, reason = "tells a manifest from a document whose id is \"format\"")]
        operations: serde_json::Value,
    }
    if let Ok(Format { format, .. }) = serde_json::from_str(json) {
        if format != "apollo-persisted-query-manifest" {
            return Err("not a manifest of the format \"apollo-persisted-query-manifest\"".into());
        }
        let manifest: Manifest = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if manifest.version != 1 {
            return Err(format!("the manifest has version {}; only 1 is known", manifest.version));
        }
        let mut documents = BTreeMap::new();
        for Operation { id, body } in manifest.operations {
            if documents.insert(id.clone(), body).is_some() {
                return Err(format!("the id {id:?} is there twice"));
            }
        }
        return Ok(documents);
    }
    serde_json::from_str(json).map_err(|error| format!("neither a manifest nor an object of ids and texts: {error}"))
}

/// Holds documents against the schema and executes nothing.
struct Validator(Schema<Query, Mutation, Subscription>);

struct ExecuteNothing;

impl ExtensionFactory for ExecuteNothing {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for ExecuteNothing {
    async fn execute(&self, _: &ExtensionContext<'_>, _: Option<&str>, _: NextExecute<'_>) -> Response {
        Response::default()
    }
}

impl Validator {
    fn new() -> Self {
        Self(assemble().extension(ExecuteNothing).finish())
    }

    async fn check(&self, document: &CachedDocument) -> Result<(), ServerError> {
        for (name, _) in document.document.operations.iter() {
            let mut request = async_graphql::Request::new(String::new());
            request.operation_name = name.map(ToString::to_string);
            request.set_parsed_query(document.document.clone());
            if let Some(error) = self.0.execute(request).await.errors.into_iter().next() {
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::guard::Limits;

    const SERVER: &str = "query Server { server { version } }";

    async fn load(files: &[(&str, &str)]) -> Result<TrustedDocuments, String> {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("is written");
        }
        let documents = DocumentCache::new(Limits::default());
        let loaded = TrustedDocuments::load(directory.path(), &documents).await;
        loaded.map_err(|error| error.cause().expect("a cause").replace(&*directory.path().to_string_lossy(), "DIR"))
    }

    #[tokio::test]
    async fn files_and_manifests_are_read() {
        let apollo = serde_json::json!({
            "format": "apollo-persisted-query-manifest", "version": 1,
            "operations": [{"id": "apollo-1", "name": "Me", "type": "query", "body": "query Me { viewer { id } }"}],
        });
        let relay = serde_json::json!({"r1": SERVER, "r2": "subscription S($after: String) { events(after: $after) { cursor } }"});
        let trusted = load(&[
            ("server.graphql", SERVER),
            (
                "login.gql",
                "mutation Login($input: LoginInput!) { login(input: $input) { accessToken userErrors { code } } }",
            ),
            ("apollo.json", &apollo.to_string()),
            ("persisted-documents.json", &relay.to_string()),
            ("two.graphql", "query A { server { version } } query B($id: ID!) { node(id: $id) { id } }"),
            ("README.md", "not a document"),
        ])
        .await
        .expect("all are good");
        assert_eq!(trusted.n_documents(), 5, "one text is there twice");
        let server = trusted.by_id("server").expect("by its file");
        for same in ["r1", &hash_of(SERVER)] {
            assert!(Arc::ptr_eq(server, trusted.by_id(same).expect(same)), "{same}");
        }
        assert!(Arc::ptr_eq(server, trusted.by_text(SERVER).expect("by its text")));
        assert!(
            trusted.by_id("apollo-1").is_some() && trusted.by_id("r2").is_some() && trusted.by_id("login").is_some()
        );
        assert!(trusted.by_id("README").is_none() && trusted.by_text("{ server { version } }").is_none());
    }

    #[tokio::test]
    async fn a_bad_one_is_named_with_the_reason() {
        let manifest = |version: u32, format: &str| {
            serde_json::json!({"format": format, "version": version, "operations": [{"id": "x", "body": SERVER}]})
                .to_string()
        };
        for (file, text, said) in [
            ("a.graphql", "{ nothing }", "Unknown field \"nothing\""),
            ("a.graphql", "{ server { version }", "Syntax error at line 1"),
            ("a.graphql", "query A { server { version } } query B { viewer { secret } }", "Unknown field \"secret\""),
            ("a.graphql", "subscription { nothing }", "Unknown field \"nothing\""),
            ("a.graphql", "query($n: Nothing) { user(username: $n) { id } }", "Nothing"),
            ("a.graphql", "{ server { limits { ...F } } } fragment F on Query { ...F }", "F"),
            ("a.graphql", "", "Syntax error"),
            ("a.json", "[]", "neither a manifest nor"),
            ("a.json", "{\"x\": 1}", "neither a manifest nor"),
            ("a.json", "{\"x\": \"{ nothing }\"}", "the document \"x\": Unknown field"),
            ("a.json", &manifest(2, "apollo-persisted-query-manifest"), "version 2"),
            ("a.json", &manifest(1, "another"), "not a manifest of the format"),
            ("a.txt", "anything", "there is no document in it"),
        ] {
            let error = load(&[(file, text)]).await.expect_err(text);
            assert!(error.starts_with("KITH_TRUSTED_DOCUMENTS: DIR") && error.contains(said), "{text}: {error}");
            assert!(file == "a.txt" || error.contains(&format!("DIR/{file}: ")), "{error}");
        }
        let twice = load(&[("a.graphql", SERVER), ("b.json", "{\"a\": \"{ viewer { id } }\"}")]).await;
        assert!(twice.expect_err("one id, two documents").contains("the id \"a\" is that of another document too"));
        let nowhere = TrustedDocuments::load(Path::new("/nowhere"), &DocumentCache::new(Limits::default())).await;
        assert!(nowhere.is_err());
    }
}
