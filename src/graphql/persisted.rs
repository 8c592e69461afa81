//! Documents that a request names instead of sending: automatic persisted queries and trusted documents.
//!
//! | the request has | what it names |
//! | --- | --- |
//! | `query` | the document itself |
//! | `extensions.persistedQuery` (`version: 1`, `sha256Hash`) | a document by the SHA-256 of its text, or a trusted one by its id |
//! | `documentId` | a trusted document; `sha256:…` as above |
//! | a hash and `query` | the document itself, which is kept under its hash once it has passed the guard |
//!
//! The protocol is Apollo's, so that its clients and others' retry by themselves: a hash that is not known is answered
//! `PERSISTED_QUERY_NOT_FOUND`, and they send both. What is kept belongs to the process; a client that comes to another
//! one retries there.

use std::sync::Arc;

use async_graphql::ServerError;
use moka::sync::Cache;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::engine::{GraphqlRequest, bad_request, coded};

/// Memory that the texts may take: 8 MiB.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// What the smallest text counts, so that there are at most 8192.
const MIN_WEIGHT: u32 = 1024;

/// How a request names its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub id: String,
    /// Whether it should be the SHA-256 of the text.
    pub is_hash: bool,
}

/// Texts of documents by their SHA-256.
///
/// A new text pushes out an old one only when it is asked for more often, so that junk stays outside while the store
/// is full of what clients use.
pub struct PersistedQueries {
    texts: Cache<[u8; 32], Arc<str>>,
}

impl Default for PersistedQueries {
    fn default() -> Self {
        Self::with_capacity(MAX_BYTES)
    }
}

impl PersistedQueries {
    fn with_capacity(max_bytes: u64) -> Self {
        let weight = |_: &[u8; 32], text: &Arc<str>| u32::try_from(text.len()).unwrap_or(u32::MAX).max(MIN_WEIGHT);
        Self { texts: Cache::builder().name("persisted queries").max_capacity(max_bytes).weigher(weight).build() }
    }

    pub fn get(&self, hash: &str) -> Option<Arc<str>> {
        self.texts.get(&decode(hash)?)
    }

    /// Keeps a text, which is known to have this hash.
    pub fn keep(&self, hash: &str, text: &Arc<str>) {
        if let Some(hash) = decode(hash)
            && !self.texts.contains_key(&hash)
        {
            self.texts.insert(hash, Arc::clone(text));
        }
    }
}

fn decode(hash: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hash.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// The SHA-256 of a text in small hexadecimal digits.
pub fn hash_of(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a hash is that of a text.
pub fn is_hash_of(hash: &str, text: &str) -> bool {
    decode(hash).is_some_and(|hash| hash == <[u8; 32]>::from(Sha256::digest(text)))
}

impl GraphqlRequest {
    /// How the request names its document, if it does.
    pub fn document_name(&self) -> Result<Option<Name>, ServerError> {
        if let Some(id) = self.document_id.as_deref().filter(|id| !id.is_empty()) {
            return Ok(Some(match id.strip_prefix("sha256:") {
                Some(hash) => Name { id: hash.to_ascii_lowercase(), is_hash: true },
                None => Name { id: id.to_owned(), is_hash: false },
            }));
        }
        let extension = self.extensions.as_ref().and_then(|extensions| extensions.get("persistedQuery"));
        let Some(extension) = extension.filter(|extension| !extension.is_null()) else { return Ok(None) };
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct PersistedQuery {
            version: serde_json::Number,
            sha256_hash: String,
        }
        let Ok(PersistedQuery { version, sha256_hash }) = PersistedQuery::deserialize(extension) else {
            return Err(bad_request("extensions.persistedQuery must be {\"version\": 1, \"sha256Hash\": \"…\"}."));
        };
        if version.as_u64() != Some(1) {
            return Err(bad_request("Unsupported persisted query version: only 1 is known."));
        }
        Ok(Some(Name { id: sha256_hash.to_ascii_lowercase(), is_hash: true }))
    }

    /// The text that was sent, if one was. Clients send an empty one where they have none.
    pub fn sent_text(&self, name: Option<&Name>) -> Option<&str> {
        self.query.as_deref().filter(|text| name.is_none() || !text.is_empty())
    }
}

/// Nobody has sent the text of this hash lately. Apollo's words: clients look for them.
pub fn not_found() -> ServerError {
    coded("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
}

/// Sending the text would not help: nothing but trusted documents is kept. Apollo's words too.
pub fn not_supported() -> ServerError {
    coded("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
}

/// No trusted document has this id.
pub fn unknown_id() -> ServerError {
    coded("No document has this documentId.", "PERSISTED_DOCUMENT_NOT_FOUND")
}

/// The text is not that of what it is named.
pub fn mismatch() -> ServerError {
    bad_request("The query is not the document that the request names: the SHA-256 of the one is not the other.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(json: &str) -> Result<Option<Name>, String> {
        let request = GraphqlRequest::from_json(json.as_bytes()).map_err(|error| error.message)?;
        request.document_name().map_err(|error| error.message)
    }

    #[test]
    fn a_request_names_its_document_by_hash_or_id() {
        let hash = hash_of("{id}");
        let is = |id: &str, is_hash| Ok(Some(Name { id: id.to_owned(), is_hash }));
        let of_apollo = |hash: &str| {
            format!(r#"{{"extensions":{{"persistedQuery":{{"version":1,"sha256Hash":"{hash}","miss":true}}}}}}"#)
        };
        assert_eq!(named(r#"{"query":"{id}"}"#), Ok(None));
        assert_eq!(named(r#"{"query":"{id}","extensions":{"persistedQuery":null}}"#), Ok(None));
        assert_eq!(named(&of_apollo(&hash)), is(&hash, true));
        assert_eq!(named(&of_apollo(&hash.to_uppercase())), is(&hash, true));
        assert_eq!(named(&format!(r#"{{"documentId":"sha256:{hash}"}}"#)), is(&hash, true));
        assert_eq!(named(r#"{"documentId":"Home:1"}"#), is("Home:1", false));
        for bad in [
            r#"{"query":"{id}","extensions":{"persistedQuery":1}}"#,
            r#"{"query":"{id}","extensions":{"persistedQuery":{}}}"#,
            r#"{"query":"{id}","extensions":{"persistedQuery":{"version":1}}}"#,
            r#"{"query":"{id}","extensions":{"persistedQuery":{"version":2,"sha256Hash":"x"}}}"#,
            r#"{"query":"{id}","extensions":{"persistedQuery":{"version":1.5,"sha256Hash":"x"}}}"#,
            r#"{"query":"{id}","extensions":{"persistedQuery":{"version":1,"sha256Hash":7}}}"#,
            r#"{"query":"{id}","documentId":7}"#,
            r#"{"documentId":""}"#,
            r#"{"query":null}"#,
            r#"{}"#,
        ] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hash_is_that_of_the_text() {
        let hash = hash_of("{__typename}");
        assert_eq!(hash, "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38");
        assert!(is_hash_of(&hash, "{__typename}"));
        for wrong in
            ["", "é", &hash[1..], &format!("{hash}0"), &hash.replace('e', "g"), &"é".repeat(32), &"+1".repeat(32)]
        {
            assert!(!is_hash_of(wrong, "{__typename}"), "{wrong}");
            assert!(PersistedQueries::default().get(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn junk_does_not_push_out_what_clients_use() {
        let store = PersistedQueries::with_capacity(200 * u64::from(MIN_WEIGHT));
        let used: Vec<Arc<str>> = (0..100).map(|n| format!("{{used{n}}}").into()).collect();
        let ask = || used.iter().filter(|text| store.get(&hash_of(text)).is_some()).count();
        for text in &used {
            store.keep(&hash_of(text), text);
        }
        for _ in 0..5 {
            assert_eq!(ask(), used.len());
            store.texts.run_pending_tasks();
        }
        for n in 0..20_000 {
            let junk: Arc<str> = format!("{{junk{n}}}").into();
            store.keep(&hash_of(&junk), &junk);
            if n % 64 == 0 {
                store.texts.run_pending_tasks();
            }
        }
        store.texts.run_pending_tasks();
        assert!(store.texts.weighted_size() <= 200 * u64::from(MIN_WEIGHT), "bounded");
        assert!(store.texts.entry_count() <= 200, "bounded");
        let n_left = ask();
        assert!(n_left >= 95, "only {n_left} of {} are left", used.len());
    }
}
