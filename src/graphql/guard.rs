//! What a document may ask for, decided before the library validates or executes it.
//!
//! The library's own limits expand every fragment spread again and so take exponential time on a few hundred bytes.
//! Everything here visits each written node a fixed number of times: a fragment is measured once, and each of its
//! spreads adds the measurement. Arithmetic saturates; circles are refused.
//!
//! | step | function | needs |
//! |---|---|---|
//! | text | [`check_source`] | the text; comes before the parser, which recurses |
//! | escapes | `plain_escapes` | the text; writes them as the parser knows them |
//! | shape | [`inspect`], [`inspect_all`] | the parsed document; the result can be kept with it |
//! | price | [`cost`] | the document and the variables of one request |
//! | subscriptions | [`inline_root_fragments`], [`variables_used_below_root`] | an inspected document |
//!
//! A refusal is one sentence and one code, however many offences there are. Whether names, types and arguments fit the
//! schema is the library's question, not asked here.

mod price;
mod shape;
mod source;
mod subscriptions;
#[cfg(test)]
mod tests;

use async_graphql::{
    Name,
    parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition},
};

pub(super) use self::source::{Lexer, TokenKind, measure_source, plain_escapes};
pub use self::{
    price::{DEFAULT_PAGE, MAX_PAGE, cost},
    shape::{Outline, check_directive_names, inspect, inspect_all, select_outline},
    source::check_source,
    subscriptions::{inline_root_fragments, variables_used_below_root},
};

/// Selection sets within one another, fragments counted as levels too. The library refuses more by itself, with its
/// own words; here it also bounds the recursion of every walk.
pub const MAX_NESTING: usize = 32;

/// Fields within one another below `__schema` or `__type`, these two counted. The introspection query of graphql-js
/// needs 15.
pub const MAX_INTROSPECTION_DEPTH: usize = 20;

/// Brackets of one kind within one another in the text: the parser and its stack are reached by fewer only.
pub const MAX_BRACKETS: usize = 64;

/// Mutations that take or renew a credential. One operation may hold one of them, so that aliases do not multiply
/// guesses.
pub const SIGN_IN_FIELDS: [&str; 6] =
    ["changePassword", "login", "refreshSession", "register", "requestPasswordReset", "resetPassword"];

/// How much one document, and each operation in it, may ask for. The defaults are the product's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// UTF-8 bytes of the document's text; 16 KiB.
    pub max_document_bytes: usize,
    /// Lexical tokens of the text, comments and commas left out; 2,000.
    pub max_tokens: usize,
    /// Aliased fields of an operation after expansion of its fragments; 30.
    pub max_aliases: usize,
    /// Directives of an operation after expansion, those on definitions included; 20.
    pub max_directives: usize,
    /// Fields within one another; 16. Below `__schema` and `__type`, [`MAX_INTROSPECTION_DEPTH`] holds instead.
    pub max_depth: usize,
    /// Fields after expansion of fragments, all operations of the document together, because validation visits all of
    /// them; 1,000.
    pub max_selections: usize,
    /// Price of one operation with its pages multiplied in, in fields that may have to be resolved; 20,000.
    pub max_complexity: u64,
    /// Root fields of a mutation after expansion; 10. A subscription has exactly one.
    pub max_root_fields: usize,
    /// The same response key in one selection set, on the same type condition, spreads merged in; 30.
    pub max_repeats: usize,
    /// Estimated fields of an introspection answer; 300,000, somewhat over twice the whole of graphql-js's query.
    /// Depth alone does not hold back `types { fields { type { fields { type …`, which grows by a factor each time.
    pub max_introspection: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_document_bytes: 16 * 1024,
            max_tokens: 2_000,
            max_aliases: 30,
            max_directives: 20,
            max_depth: 16,
            max_selections: 1_000,
            max_complexity: 20_000,
            max_root_fields: 10,
            max_repeats: 30,
            max_introspection: 300_000,
        }
    }
}

/// Why a document is not executed. The message is one sentence for a client developer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More bytes of text than [`Limits::max_document_bytes`].
    #[error("The document is larger than {limit} bytes.")]
    TooManyBytes {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More tokens than [`Limits::max_tokens`].
    #[error("The document has more than {limit} tokens.")]
    TooManyTokens {
        /// The limit, in tokens.
        limit: usize,
    },
    /// More brackets of one kind within one another than [`MAX_BRACKETS`].
    #[error("The document nests brackets more than {limit} deep.")]
    TooManyBrackets {
        /// The limit, in brackets.
        limit: usize,
    },
    /// A string or block string that the document never closes.
    #[error("The string that begins at line {line}, column {column} has no end.")]
    UnterminatedString {
        /// Line of the opening quote, from 1.
        line: usize,
        /// Column of the opening quote in characters, from 1.
        column: usize,
    },
    /// A string with half a surrogate pair.
    #[error("The string that begins at line {line}, column {column} has half a surrogate pair, which is no character.")]
    LoneSurrogate {
        /// Line of the opening quote, from 1.
        line: usize,
        /// Column of the opening quote in characters, from 1.
        column: usize,
    },
    /// The request names an operation that the document does not define.
    #[error("The document has no operation named \"{name}\".")]
    UnknownOperation {
        /// The name asked for, cut to 40 characters.
        name: String,
    },
    /// The document has several operations and the request names none.
    #[error("The document has several operations: say which with operationName.")]
    OperationNameMissing,
    /// A fragment that spreads itself, directly or through others.
    #[error("The fragment \"{name}\" spreads itself.")]
    CircularFragment {
        /// The fragment at which the circle was noticed, cut to 40 characters.
        name: String,
    },
    /// A directive that is neither `@skip` nor `@include`.
    #[error("There is no directive \"@{name}\".")]
    UnknownDirective {
        /// Its name, cut to 40 characters.
        name: String,
    },
    /// More selection sets within one another, fragments counted, than [`MAX_NESTING`].
    #[error("Selections and fragments nest more than {limit} deep.")]
    TooManyLevels {
        /// The limit, in selection sets.
        limit: usize,
    },
    /// Deeper than [`Limits::max_depth`], or [`MAX_INTROSPECTION_DEPTH`] where that holds.
    #[error("Fields nest more than {limit} deep.")]
    TooDeep {
        /// The limit, in fields.
        limit: usize,
    },
    /// More than [`Limits::max_selections`].
    #[error("The document selects more than {limit} fields once its fragments are expanded.")]
    TooManySelections {
        /// The limit, in fields.
        limit: usize,
    },
    /// More than [`Limits::max_aliases`].
    #[error("An operation has more than {limit} aliases once its fragments are expanded.")]
    TooManyAliases {
        /// The limit, in aliased fields.
        limit: usize,
    },
    /// More than [`Limits::max_directives`].
    #[error("An operation has more than {limit} directives once its fragments are expanded.")]
    TooManyDirectives {
        /// The limit, in directives.
        limit: usize,
    },
    /// More than [`Limits::max_repeats`].
    #[error("One selection set asks for the same response key more than {limit} times.")]
    TooManyRepeats {
        /// The limit, in fields.
        limit: usize,
    },
    /// A mutation with more than [`Limits::max_root_fields`].
    #[error("A mutation has more than {limit} root fields.")]
    TooManyRootFields {
        /// The limit, in fields.
        limit: usize,
    },
    /// More than one of [`SIGN_IN_FIELDS`] in one operation.
    #[error("One operation may sign in, register or change a password only once.")]
    SeveralSignIns {
        /// How many there were, for whoever counts attempts. Nothing was executed.
        count: u64,
    },
    /// A subscription with no root field, with several, or with `__typename` alone.
    #[error("A subscription has exactly one root field.")]
    SubscriptionRoot,
    /// Directives of the same name but different arguments on the way to a subscription's root field: they cannot be
    /// gathered on the field, see [`inline_root_fragments`].
    #[error("The fragments around a subscription's root field repeat the directive @{name} with other arguments.")]
    SubscriptionDirectives {
        /// The directive, cut to 40 characters.
        name: String,
    },
    /// More than [`Limits::max_introspection`].
    #[error("The introspection goes round in circles: ask for fewer lists within one another.")]
    TooMuchIntrospection,
    /// More than [`Limits::max_complexity`].
    #[error("The operation costs {cost}, more than {limit}: ask for smaller pages or fewer fields.")]
    TooCostly {
        /// The price of the operation, saturating.
        cost: u64,
        /// The limit, in the same unit.
        limit: u64,
    },
}

impl Refusal {
    /// The value of `extensions.code`: `TOO_COMPLEX` for a limit, otherwise what kind of mistake the document or the
    /// request has.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyBytes { .. }
            | Self::TooManyTokens { .. }
            | Self::TooManyBrackets { .. }
            | Self::TooManyLevels { .. }
            | Self::TooDeep { .. }
            | Self::TooManySelections { .. }
            | Self::TooManyAliases { .. }
            | Self::TooManyDirectives { .. }
            | Self::TooManyRepeats { .. }
            | Self::TooManyRootFields { .. }
            | Self::SeveralSignIns { .. }
            | Self::TooMuchIntrospection
            | Self::TooCostly { .. } => "TOO_COMPLEX",
            Self::UnterminatedString { .. } | Self::LoneSurrogate { .. } => "GRAPHQL_PARSE_FAILED",
            Self::UnknownOperation { .. } | Self::OperationNameMissing => "BAD_USER_INPUT",
            Self::CircularFragment { .. }
            | Self::UnknownDirective { .. }
            | Self::SubscriptionRoot
            | Self::SubscriptionDirectives { .. } => "GRAPHQL_VALIDATION_FAILED",
        }
    }
}

fn is_introspection(field_name: &str) -> bool {
    matches!(field_name, "__schema" | "__type")
}

fn find_operation<'a>(
    document: &'a ExecutableDocument,
    operation_name: Option<&str>,
) -> Result<&'a OperationDefinition, Refusal> {
    let unknown = |name: &str| Refusal::UnknownOperation { name: shorten(name) };
    let operation = match (&document.operations, operation_name) {
        (DocumentOperations::Single(operation), None) => operation,
        (DocumentOperations::Single(_), Some(name)) => return Err(unknown(name)),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name).ok_or_else(|| unknown(name))?,
        (DocumentOperations::Multiple(operations), None) => {
            let mut operations = operations.values();
            match (operations.next(), operations.next()) {
                (Some(operation), None) => operation,
                _ => return Err(Refusal::OperationNameMissing),
            }
        }
    };
    Ok(&operation.node)
}

/// In the order of the text, so that of several offences always the same one is named.
fn operations_in_order(document: &ExecutableDocument) -> Vec<(Option<&Name>, &OperationDefinition)> {
    let mut operations: Vec<_> = document.operations.iter().collect();
    operations.sort_by_key(|(_, operation)| operation.pos);
    operations.into_iter().map(|(name, operation)| (name, &operation.node)).collect()
}

/// As [`operations_in_order`].
fn fragments_in_order(document: &ExecutableDocument) -> Vec<&str> {
    let mut fragments: Vec<_> = document.fragments.iter().map(|(name, fragment)| (fragment.pos, name)).collect();
    fragments.sort();
    fragments.into_iter().map(|(_, name)| name.as_str()).collect()
}

fn check_level(level: usize) -> Result<(), Refusal> {
    // One more than may be counted: a field without a selection set of its own is visited with an empty one.
    if level > MAX_NESTING + 1 { Err(Refusal::TooManyLevels { limit: MAX_NESTING }) } else { Ok(()) }
}

/// Called for each selection that a walk looks at: tests count, everybody else pays nothing.
fn visited() {
    #[cfg(test)]
    tests::VISITED.with(|visited| visited.set(visited.get() + 1));
}

/// A name out of the document or the request, short and on one line, for a message.
pub(super) fn shorten(name: &str) -> String {
    const MAX_CHARS: usize = 40;
    let mut shortened: String = name.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if name.chars().nth(MAX_CHARS).is_some() {
        shortened.push('…');
    }
    shortened
}
