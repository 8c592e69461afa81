//! Documents parsed and inspected once and kept, because clients send the same few again and again.
//!
//! Only documents that may be executed are kept. One that is refused is parsed again when it comes again: whoever sends
//! such on purpose varies them, and whoever does not sends few. The parser's errors, drawings of many lines that repeat
//! the text, become one sentence with a line and a column; nothing of a string's content is repeated, since it may be a
//! password.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_graphql::{
    Pos,
    parser::{self, types::ExecutableDocument},
};
use moka::sync::Cache;

use super::guard::{self, Lexer, Limits, Outline, Refusal, TokenKind};

/// Memory that a cache takes at most when nothing else is said: 16 MiB, as far as [`CachedDocument::weight`] tells.
pub const DEFAULT_CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Why a text did not become a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It breaks a rule of the guard.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not a GraphQL document.
    #[error("{message}")]
    Syntax {
        /// One short sentence on one line, with the place where there is one.
        message: String,
        /// Line and column where it was noticed, both from 1, columns in characters; none when the whole text is meant.
        location: Option<Pos>,
    },
}

impl DocumentError {
    /// The value of `extensions.code`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Syntax { .. } => "GRAPHQL_PARSE_FAILED",
        }
    }
}

/// A document that was parsed, and keeps the static limits.
#[derive(Debug)]
pub struct CachedDocument {
    /// Differs from that of every other document of the same cache, those dropped long ago included. A text that was
    /// dropped and parsed again has a new one.
    pub id: u64,
    /// The text as it came.
    pub source: Arc<str>,
    /// As parsed: no fragment is inlined. A clone is what `Request::set_parsed_query` takes.
    pub document: ExecutableDocument,
    /// Static facts of each operation, in the order of the text; never empty.
    pub outlines: Vec<Outline>,
    /// Estimated memory, in bytes.
    weight: u32,
}

impl CachedDocument {
    /// The operation that the request's `operationName` means.
    ///
    /// # Errors
    /// A name that fits no operation, or none where there are several.
    pub fn outline(&self, operation_name: Option<&str>) -> Result<&Outline, Refusal> {
        guard::select_outline(&self.outlines, operation_name)
    }

    /// Estimated memory of the document, in bytes.
    #[must_use]
    pub const fn weight(&self) -> u32 {
        self.weight
    }
}

/// Parsed documents by their text, bounded by memory; the ones used most stay. Cheap to share: all methods take `&self`,
/// and none waits for anything but the parsing of the same text by another thread.
#[derive(Debug)]
pub struct DocumentCache {
    documents: Cache<Arc<str>, Arc<CachedDocument>>,
    next_id: AtomicU64,
    limits: Limits,
}

impl DocumentCache {
    /// A cache of [`DEFAULT_CACHE_BYTES`].
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::with_capacity(limits, DEFAULT_CACHE_BYTES)
    }

    /// A cache of at most so many bytes; 0 keeps nothing.
    #[must_use]
    pub fn with_capacity(limits: Limits, max_bytes: u64) -> Self {
        let documents = Cache::builder()
            .name("documents")
            .max_capacity(max_bytes)
            .weigher(|_, document: &Arc<CachedDocument>| document.weight)
            .build();
        Self { documents, next_id: AtomicU64::new(0), limits }
    }

    /// The limits that every document of this cache keeps.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The document of a text: the one kept, or else parsed and inspected now. Threads that ask for the same new text at
    /// once get the same document.
    ///
    /// # Errors
    /// The text is no document, or breaks a limit. Nothing is kept then.
    pub fn get(&self, source: &str) -> Result<Arc<CachedDocument>, DocumentError> {
        if let Some(document) = self.documents.get(source) {
            return Ok(document);
        }
        // Outside the cache's own lock: most texts that are refused are refused here.
        let n_tokens = guard::measure_source(source, &self.limits)?;
        let source: Arc<str> = Arc::from(source);
        self.documents.try_get_with(Arc::clone(&source), || self.parse(source, n_tokens)).map_err(Arc::unwrap_or_clone)
    }

    fn parse(&self, source: Arc<str>, n_tokens: usize) -> Result<Arc<CachedDocument>, DocumentError> {
        let plain = guard::plain_escapes(&source)?;
        let document = parser::parse_query(&*plain).map_err(|error| describe(&error, &plain))?;
        drop(plain);
        let outlines = guard::inspect_all(&document, &self.limits)?;
        guard::check_directive_names(&document)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let weight = estimate_weight(source.len(), n_tokens);
        Ok(Arc::new(CachedDocument { id, source, document, outlines, weight }))
    }
}

/// Memory of a parsed document: its text, its tree in proportion to the tokens (measured: 64 to 238 bytes each), and what
/// every entry has.
fn estimate_weight(n_bytes: usize, n_tokens: usize) -> u32 {
    const BYTES_PER_TOKEN: usize = 240;
    const BYTES_PER_DOCUMENT: usize = 1_024;
    let weight = n_tokens.saturating_mul(BYTES_PER_TOKEN).saturating_add(n_bytes).saturating_add(BYTES_PER_DOCUMENT);
    u32::try_from(weight).unwrap_or(u32::MAX)
}

/// The parser's error in one sentence.
fn describe(error: &parser::Error, source: &str) -> DocumentError {
    let location = error.positions().next();
    let what = match error {
        parser::Error::Syntax { start, .. } => match found_at(source, *start) {
            Some(found) => format!("unexpected {found}"),
            None => "unexpected end of the document".to_owned(),
        },
        parser::Error::MultipleOperations { .. } => {
            "an operation without a name must be the only one in its document".to_owned()
        }
        parser::Error::OperationDuplicated { operation, .. } => {
            format!("there are two operations named \"{}\"", guard::shorten(operation))
        }
        parser::Error::FragmentDuplicated { fragment, .. } => {
            format!("there are two fragments named \"{}\"", guard::shorten(fragment))
        }
        parser::Error::MissingOperation => "the document has no operation".to_owned(),
        parser::Error::RecursionLimitExceeded => "the document nests too deep".to_owned(),
        // Of type definitions, which an executable document cannot have.
        _ => "not an executable document".to_owned(),
    };
    let message = match location {
        Some(Pos { line, column }) => format!("Syntax error at line {line}, column {column}: {what}."),
        None => format!("Syntax error: {what}."),
    };
    DocumentError::Syntax { message, location }
}

/// What stands at a place of the text; nothing at its end.
fn found_at(source: &str, position: Pos) -> Option<String> {
    let line_start = match position.line.checked_sub(2) {
        None => 0,
        Some(n_newlines) => source.match_indices('\n').nth(n_newlines)?.0 + 1,
    };
    let in_line = source[line_start..].char_indices().nth(position.column.saturating_sub(1))?.0;
    let offset = line_start + in_line;
    let token = Lexer::new(source).find(|token| token.end > offset)?;
    Some(match token.kind {
        TokenKind::String | TokenKind::UnterminatedString => "string".to_owned(),
        TokenKind::Name | TokenKind::Number | TokenKind::Punctuator(_) => {
            format!("\"{}\"", guard::shorten(source.get(token.start.max(offset)..token.end).unwrap_or_default()))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    fn cache() -> DocumentCache {
        DocumentCache::new(Limits::default())
    }

    fn refused(source: &str) -> DocumentError {
        cache().get(source).expect_err(source)
    }

    #[test]
    fn a_text_is_parsed_once() {
        let cache = cache();
        let first = cache.get("{viewer {id}}").expect("a document");
        let second = cache.get("{viewer {id}}").expect("a document");
        assert!(Arc::ptr_eq(&first, &second));
        let other = cache.get("{viewer { id}}").expect("a document");
        assert_ne!(first.id, other.id);
        assert_eq!(&*first.source, "{viewer {id}}");
        assert_eq!(first.outline(None).expect("one operation").root_fields, ["viewer"]);
        assert_eq!(first.outline(Some("a")).map(|_| ()), Err(Refusal::UnknownOperation { name: "a".to_owned() }));
    }

    #[test]
    fn operations_of_one_text_share_its_document() {
        let document = cache().get("query a {id} mutation b {logout {x}}").expect("a document");
        assert_eq!(document.outline(Some("a")).expect("a").root_fields, ["id"]);
        assert_eq!(document.outline(Some("b")).expect("b").root_fields, ["logout"]);
        assert_eq!(document.outline(None).map(|_| ()), Err(Refusal::OperationNameMissing));
    }

    #[test]
    fn threads_that_ask_at_once_get_the_same() {
        let cache = cache();
        let ids: HashSet<u64> = thread::scope(|scope| {
            let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| cache.get("{id}").expect("a document").id)).collect();
            askers.into_iter().map(|asker| asker.join().expect("no panic")).collect()
        });
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn what_is_refused_is_not_kept() {
        let cache = cache();
        for source in ["{", "", "{...F} fragment F on Query {...F}", "mutation {login {x} a: login {x}}"] {
            assert!(cache.get(source).is_err(), "{source}");
        }
        cache.documents.run_pending_tasks();
        assert_eq!(cache.documents.entry_count(), 0);
        assert_eq!(refused("mutation {login {x} a: login {x}}").code(), "TOO_COMPLEX");
        assert_eq!(refused("{...F} fragment F on Query {...F}").code(), "GRAPHQL_VALIDATION_FAILED");
        assert_eq!(refused("{a(b: \"").code(), "GRAPHQL_PARSE_FAILED");
    }

    #[test]
    fn the_cache_is_bounded_and_ids_are_not_used_again() {
        let cache = DocumentCache::with_capacity(Limits::default(), 64 * 1024);
        let ids: HashSet<u64> =
            (0..1_000).map(|n| cache.get(&format!("{{a{n} {{b c d}}}}")).expect("a document").id).collect();
        assert_eq!(ids.len(), 1_000);
        cache.documents.run_pending_tasks();
        assert!(cache.documents.weighted_size() <= 64 * 1024);
        assert!(cache.documents.entry_count() > 10);
        let nothing = DocumentCache::with_capacity(Limits::default(), 0);
        assert!(nothing.get("{id}").is_ok());
    }

    #[test]
    fn syntax_errors_are_one_short_line_with_a_place() {
        for (source, message) in [
            ("", "Syntax error at line 1, column 1: unexpected end of the document."),
            ("{a", "Syntax error at line 1, column 3: unexpected end of the document."),
            ("{a\n  b é}", "Syntax error at line 2, column 5: unexpected \"é\"."),
            ("{a\r\n\r\n  ]}", "Syntax error at line 3, column 3: unexpected \"]\"."),
            ("{é: 👩‍👩‍👧 ]}", "Syntax error at line 1, column 2: unexpected \"é\"."),
            ("{a(b: \"👩\" ]}", "Syntax error at line 1, column 11: unexpected \"]\"."),
            ("{a\0}", "Syntax error at line 1, column 3: unexpected \"\\0\"."),
            ("{a(b: \"secret\\q\")}", "Syntax error at line 1, column 7: unexpected string."),
            ("{a \"secret\"}", "Syntax error at line 1, column 4: unexpected string."),
            (
                "{a} {b}",
                "Syntax error at line 1, column 5: an operation without a name must be the only one in its document.",
            ),
            ("query a{b} query a{b}", "Syntax error at line 1, column 12: there are two operations named \"a\"."),
            (
                "{a} fragment a on B{c} fragment a on B{c}",
                "Syntax error at line 1, column 24: there are two fragments named \"a\".",
            ),
            ("fragment a on B{c}", "Syntax error: the document has no operation."),
            ("type A {b: C}", "Syntax error at line 1, column 1: unexpected \"type\"."),
        ] {
            let error = refused(source);
            assert_eq!(error.to_string(), message, "{source}");
            assert_eq!(error.code(), "GRAPHQL_PARSE_FAILED");
        }
    }

    #[test]
    fn syntax_errors_stay_short_however_long_the_document() {
        let name = "x".repeat(5_000);
        for source in [
            format!("{{a {}", "b ".repeat(1_900)),
            format!("{{a ${name}"),
            format!("{{a(b: \"{name}\\q\")}}"),
            format!("query {name} {{a}} query {name} {{a}}"),
            format!("{}{{{}", "\n".repeat(9_000), "{".repeat(60)),
            format!("{}{}", "{a".repeat(64), "}".repeat(64)),
            format!("{}{}", "{a".repeat(64), "]".repeat(64)),
        ] {
            let Err(error) = cache().get(&source) else { panic!("{source}") };
            let message = error.to_string();
            assert!(message.chars().count() < 160 && !message.contains('\n'), "{message}");
        }
    }
}
