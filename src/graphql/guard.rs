//! What a document may ask for, decided before the library validates or executes it.
//!
//! The library's own limits expand every fragment spread again and so take exponential time on a few hundred bytes.
//! Everything here visits each written node a fixed number of times: a fragment is measured once, and each of its
//! spreads adds the measurement. Arithmetic saturates; circles are refused.
//!
//! | step | function | needs |
//! |---|---|---|
//! | text | [`check_source`] | the text; comes before the parser, which recurses |
//! | shape | [`inspect`], [`inspect_all`] | the parsed document; the result can be kept with it |
//! | price | [`cost`] | the document and the variables of one request |
//! | subscriptions | [`inline_root_fragments`], [`variables_used_below_root`] | an inspected document |
//!
//! A refusal is one sentence and one code, however many offences there are. Whether names, types and arguments fit the
//! schema is the library's question, not asked here.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    convert::Infallible,
};

use async_graphql::{
    Name, Positioned, Value, Variables,
    parser::types::{
        Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
        SelectionSet, VariableDefinition,
    },
};

/// Items that a connection returns when the client says neither `first` nor `last`.
pub const DEFAULT_PAGE: u64 = 50;

/// The largest page that a connection returns; a larger `first` or `last` is priced as this.
pub const MAX_PAGE: u64 = 100;

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

/// Fields that return a page of items although the client may not have said how many.
const CONNECTIONS: [&str; 9] = [
    "blockedUsers",
    "conversations",
    "friends",
    "invites",
    "members",
    "messages",
    "readBy",
    "searchMessages",
    "searchUsers",
];

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
    /// Price of one operation with its pages multiplied in, in fields that may have to be resolved; 10,000.
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
            max_complexity: 10_000,
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
            Self::UnterminatedString { .. } => "GRAPHQL_PARSE_FAILED",
            Self::UnknownOperation { .. } | Self::OperationNameMissing => "BAD_USER_INPUT",
            Self::CircularFragment { .. } | Self::SubscriptionRoot | Self::SubscriptionDirectives { .. } => {
                "GRAPHQL_VALIDATION_FAILED"
            }
        }
    }
}

/// What is known of one operation without its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Its name; none for the one anonymous operation of a document.
    pub name: Option<String>,
    /// Query, mutation or subscription.
    pub kind: OperationType,
    /// Schema names (not aliases) of the root fields after expansion, in order, repeats kept, `__typename` left out.
    pub root_fields: Vec<String>,
    /// How many root fields are among [`SIGN_IN_FIELDS`]: 0 or 1, and 0 for everything but mutations.
    pub sign_in_fields: u64,
    /// Fields after expansion of fragments.
    pub selections: u64,
    /// Aliased fields after expansion.
    pub aliases: u64,
    /// Directives after expansion.
    pub directives: u64,
    /// Fields within one another, introspection left out.
    pub depth: usize,
    /// Whether it asks for `__schema` or `__type` anywhere.
    pub introspects: bool,
}

/// Checks size, tokens and brackets of a document's text, without recursion and in one pass. Comes before the parser.
///
/// # Errors
/// A limit, or a string without an end.
pub fn check_source(source: &str, limits: &Limits) -> Result<(), Refusal> {
    measure_source(source, limits).map(drop)
}

/// Like [`check_source`], and says how many tokens there are.
pub(super) fn measure_source(source: &str, limits: &Limits) -> Result<usize, Refusal> {
    if source.len() > limits.max_document_bytes {
        return Err(Refusal::TooManyBytes { limit: limits.max_document_bytes });
    }
    let (mut n_tokens, mut round, mut square, mut curly) = (0, 0_usize, 0_usize, 0_usize);
    for token in Lexer::new(source) {
        n_tokens += 1;
        if n_tokens > limits.max_tokens {
            return Err(Refusal::TooManyTokens { limit: limits.max_tokens });
        }
        match token.kind {
            TokenKind::Punctuator(b'(') => round += 1,
            TokenKind::Punctuator(b'[') => square += 1,
            TokenKind::Punctuator(b'{') => curly += 1,
            // A closing bracket too many is the parser's to report: it goes no further than that.
            TokenKind::Punctuator(b')') => round = round.saturating_sub(1),
            TokenKind::Punctuator(b']') => square = square.saturating_sub(1),
            TokenKind::Punctuator(b'}') => curly = curly.saturating_sub(1),
            // The library's parser reads `"""abc` as an empty string followed by `"abc`: never let it see one.
            TokenKind::UnterminatedString => {
                let (line, column) = line_and_column(source, token.start);
                return Err(Refusal::UnterminatedString { line, column });
            }
            TokenKind::Punctuator(_) | TokenKind::Name | TokenKind::Number | TokenKind::String => {}
        }
        if round.max(square).max(curly) > MAX_BRACKETS {
            return Err(Refusal::TooManyBrackets { limit: MAX_BRACKETS });
        }
    }
    Ok(n_tokens)
}

/// Static facts of the operation that the request means. All operations and fragments of the document must keep the
/// limits, the unused ones too, because validation visits them all.
///
/// # Errors
/// The first limit that is broken, a circle of fragments, or a name that fits no operation.
pub fn inspect(
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    limits: &Limits,
) -> Result<Outline, Refusal> {
    let outlines = inspect_all(document, limits)?;
    select_outline(&outlines, operation_name).cloned()
}

/// Static facts of every operation of the document, in the order of the text. Depends on nothing but the document, so
/// that it can be kept with it.
///
/// # Errors
/// As [`inspect`], but for the name.
pub fn inspect_all(document: &ExecutableDocument, limits: &Limits) -> Result<Vec<Outline>, Refusal> {
    let mut survey = Survey { document, fragments: HashMap::new() };
    let mut operations = Vec::new();
    for (name, operation) in operations_in_order(document) {
        operations.push((name, operation, survey.operation(operation)?));
    }
    let mut fragments = Vec::new();
    for name in fragments_in_order(document) {
        fragments.push(survey.fragment(name, 1)?);
    }

    // First of all, so that whoever counts attempts learns of them even where another limit is broken as well.
    for (_, operation, facts) in &operations {
        if operation.ty == OperationType::Mutation && facts.sign_in_fields > 1 {
            return Err(Refusal::SeveralSignIns { count: facts.sign_in_fields });
        }
    }
    for facts in operations.iter().map(|(_, _, facts)| facts).chain(&fragments) {
        facts.check(limits)?;
    }
    let n_selections = operations.iter().fold(0_u64, |sum, (_, _, facts)| sum.saturating_add(facts.selections));
    if exceeds(n_selections, limits.max_selections) {
        return Err(Refusal::TooManySelections { limit: limits.max_selections });
    }
    for (_, operation, facts) in &operations {
        check_root(document, operation, facts, limits)?;
    }
    Repeats::check(document, limits)?;

    Ok(operations
        .into_iter()
        .map(|(name, operation, facts)| Outline {
            name: name.map(ToString::to_string),
            kind: operation.ty,
            root_fields: root_fields(document, operation),
            sign_in_fields: if operation.ty == OperationType::Mutation { facts.sign_in_fields } else { 0 },
            selections: facts.selections,
            aliases: facts.aliases,
            directives: facts.directives,
            depth: facts.depth,
            introspects: facts.introspection > 0,
        })
        .collect())
}

/// The outline that a request's `operationName` means, by the rule of the specification.
///
/// # Errors
/// A name that fits no operation, or none where there are several.
pub fn select_outline<'a>(outlines: &'a [Outline], operation_name: Option<&str>) -> Result<&'a Outline, Refusal> {
    match (operation_name, outlines) {
        (Some(name), _) => outlines
            .iter()
            .find(|outline| outline.name.as_deref() == Some(name))
            .ok_or_else(|| Refusal::UnknownOperation { name: shorten(name) }),
        (None, [outline]) => Ok(outline),
        (None, _) => Err(Refusal::OperationNameMissing),
    }
}

/// The price of one operation: each field counts 1, and what is below a page counts as often as the page has items.
///
/// A page is a field with a `first` or `last` (both: the larger), priced as at least 1 and at most [`MAX_PAGE`]; a known
/// connection with neither is [`DEFAULT_PAGE`]; `nodes(ids:)` counts its ids. Variables are followed, their defaults
/// respected. Whether the argument is valid is not asked. What is below `__schema` and `__type` counts 1 each.
/// `@skip` and `@include` are not believed: the price is an upper bound.
///
/// # Errors
/// [`Refusal::TooCostly`] over [`Limits::max_complexity`]; or as [`inspect`] where the document was not inspected.
pub fn cost(
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    variables: &Variables,
    limits: &Limits,
) -> Result<u64, Refusal> {
    let operation = find_operation(document, operation_name)?;
    let mut pricing =
        Pricing { document, variables, definitions: &operation.variable_definitions, fragments: HashMap::new() };
    let cost = pricing.selection_set(&operation.selection_set.node, 0)?.paged;
    if cost > limits.max_complexity {
        return Err(Refusal::TooCostly { cost, limit: limits.max_complexity });
    }
    Ok(cost)
}

/// Lifts the root field of a subscription out of fragments, where the library would drop it without a word.
///
/// Directives on the spreads and inline fragments are copied to the field. Fragments that no operation uses any more
/// are removed, for validation would refuse them. The document comes back as it was when the operation is no
/// subscription, has only plain fields, is unknown, or when a fragment is unknown, is on another type than
/// `Subscription` or cannot be lifted: validation has the word then. Expects an inspected document.
#[must_use]
pub fn inline_root_fragments(mut document: ExecutableDocument, operation_name: Option<&str>) -> ExecutableDocument {
    let Ok(operation) = find_operation(&document, operation_name) else {
        return document;
    };
    let items = &operation.selection_set.node.items;
    if operation.ty != OperationType::Subscription || items.iter().all(|item| matches!(item.node, Selection::Field(_)))
    {
        return document;
    }
    let Ok(lifted) = lift_root(&document, operation) else {
        return document;
    };

    let used_before = fragments_reached(&document, std::iter::once(operation));
    let used_before: Vec<Name> = used_before.into_iter().cloned().collect();
    if let Some(operation) = find_operation_mut(&mut document, operation_name) {
        operation.selection_set.node.items = lifted;
    }
    let used_after = fragments_reached(&document, document.operations.iter().map(|(_, operation)| &operation.node));
    let unused: Vec<Name> = used_before.into_iter().filter(|name| !used_after.contains(name)).collect();
    for name in unused {
        document.fragments.remove(&name);
    }
    document
}

/// Names of the variables that an operation uses anywhere but in the arguments of its root fields, fragments followed;
/// the root field's directives count as use. Two subscriptions of one document whose values for these are equal select
/// the same of every event. Empty for an unknown operation.
#[must_use]
pub fn variables_used_below_root(document: &ExecutableDocument, operation_name: Option<&str>) -> BTreeSet<String> {
    let mut uses = VariableUses { document, names: BTreeSet::new(), visited: HashSet::new() };
    if let Ok(operation) = find_operation(document, operation_name) {
        uses.directives(&operation.directives);
        uses.selection_set(&operation.selection_set.node, true);
    }
    uses.names
}

// ---------------------------------------------------------------- text

/// A token of the text, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `...`, or any other single character that begins nothing else, whether GraphQL knows it or not: its first byte.
    Punctuator(u8),
    Name,
    Number,
    /// With its quotes; a block string likewise.
    String,
    /// From the opening quote to where the string stopped; the text after it is not read.
    UnterminatedString,
}

/// Splits a text into tokens the way the library's parser does. Yields nothing after an unterminated string.
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { bytes: source.as_bytes(), position: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    fn skip_while(&mut self, accepts: impl Fn(u8) -> bool) {
        self.position += self.rest().iter().take_while(|byte| accepts(**byte)).count();
    }

    fn skip_ignored(&mut self) {
        loop {
            match self.rest() {
                [b' ' | b'\t' | b'\r' | b'\n' | b',', ..] => self.position += 1,
                [0xEF, 0xBB, 0xBF, ..] => self.position += 3,
                [b'#', ..] => self.skip_while(|byte| byte != b'\n' && byte != b'\r'),
                _ => return,
            }
        }
    }

    /// Stops after each number that the parser would take as one: `007` is three.
    fn skip_number(&mut self) {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        if self.rest().first() == Some(&b'-') {
            self.position += 1;
        }
        if self.rest().first() == Some(&b'0') {
            self.position += 1;
        } else {
            self.skip_while(is_digit);
        }
        if let [b'.', digit, ..] = self.rest()
            && digit.is_ascii_digit()
        {
            self.position += 1;
            self.skip_while(is_digit);
        }
        let mark = match self.rest() {
            [b'e' | b'E', b'+' | b'-', digit, ..] if digit.is_ascii_digit() => 2,
            [b'e' | b'E', digit, ..] if digit.is_ascii_digit() => 1,
            _ => return,
        };
        self.position += mark;
        self.skip_while(is_digit);
    }

    fn skip_block_string(&mut self) -> TokenKind {
        self.position += 3;
        loop {
            match self.rest() {
                [] => return TokenKind::UnterminatedString,
                [b'\\', b'"', b'"', b'"', ..] => self.position += 4,
                [b'"', b'"', b'"', ..] => {
                    self.position += 3;
                    return TokenKind::String;
                }
                _ => self.position += 1,
            }
        }
    }

    fn skip_string(&mut self) -> TokenKind {
        self.position += 1;
        loop {
            match self.rest() {
                [] | [b'\n' | b'\r', ..] => return TokenKind::UnterminatedString,
                [b'"', ..] => {
                    self.position += 1;
                    return TokenKind::String;
                }
                // What may follow a backslash is the parser's to say; a line break may not.
                [b'\\', next, ..] if !matches!(next, b'\n' | b'\r') => self.position += 2,
                _ => self.position += 1,
            }
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_ignored();
        let start = self.position;
        let kind = match self.rest() {
            [] => return None,
            [b'"', b'"', b'"', ..] => self.skip_block_string(),
            [b'"', ..] => self.skip_string(),
            [b'-' | b'0'..=b'9', ..] => {
                self.skip_number();
                TokenKind::Number
            }
            [b'_' | b'a'..=b'z' | b'A'..=b'Z', ..] => {
                self.skip_while(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                TokenKind::Name
            }
            [b'.', b'.', b'.', ..] => {
                self.position += 3;
                TokenKind::Punctuator(b'.')
            }
            [byte, ..] => {
                self.position += 1;
                if !byte.is_ascii() {
                    // The rest of one character of several bytes.
                    self.skip_while(|byte| (0x80..0xC0).contains(&byte));
                }
                TokenKind::Punctuator(*byte)
            }
        };
        let token = Token { kind, start, end: self.position };
        if kind == TokenKind::UnterminatedString {
            self.position = self.bytes.len();
        }
        Some(token)
    }
}

/// Line and column, in characters and from 1, of a byte of the text.
fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (1 + before.matches('\n').count(), 1 + before[line_start..].chars().count())
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

// ---------------------------------------------------------------- shape

/// Measures of a selection set with all below it, fragments expanded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Facts {
    selections: u64,
    aliases: u64,
    directives: u64,
    /// The longest way down that passes no `__schema` or `__type`, these two themselves included.
    depth: usize,
    /// The longest way down through `__schema` or `__type`, counted from the top of the set.
    introspection_depth: usize,
    /// Selection sets below this one, the longest way.
    levels: usize,
    /// Fields of the set itself, `__typename` left out.
    root_fields: u64,
    sign_in_fields: u64,
    /// Fields of an answer if the set is inside introspection.
    volume: u64,
    /// Fields of an answer in those parts that are.
    introspection: u64,
}

impl Facts {
    /// Adds what is selected beside.
    fn join(&mut self, other: &Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.levels = self.levels.max(other.levels);
        self.root_fields = self.root_fields.saturating_add(other.root_fields);
        self.sign_in_fields = self.sign_in_fields.saturating_add(other.sign_in_fields);
        self.volume = self.volume.saturating_add(other.volume);
        self.introspection = self.introspection.saturating_add(other.introspection);
    }

    /// The facts of a field with these facts below it.
    fn of_field(field: &Field, below: &Self) -> Self {
        let name = field.name.node.as_str();
        let volume = below.volume.saturating_mul(introspection_list(name)).saturating_add(1);
        let deepest = below.depth.max(below.introspection_depth);
        let introspects = is_introspection(name);
        Self {
            selections: below.selections.saturating_add(1),
            aliases: below.aliases.saturating_add(u64::from(field.alias.is_some())),
            directives: below.directives.saturating_add(count(&field.directives)),
            depth: if introspects { 1 } else { 1 + below.depth },
            introspection_depth: match (introspects, below.introspection_depth) {
                (true, _) => 1 + deepest,
                (false, 0) => 0,
                (false, depth) => 1 + depth,
            },
            levels: if field.selection_set.node.items.is_empty() { 0 } else { 1 + below.levels },
            root_fields: u64::from(name != "__typename"),
            sign_in_fields: u64::from(SIGN_IN_FIELDS.contains(&name)),
            volume,
            introspection: if introspects { volume } else { below.introspection },
        }
    }

    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        if self.levels > MAX_NESTING {
            return Err(Refusal::TooManyLevels { limit: MAX_NESTING });
        }
        if exceeds(self.selections, limits.max_selections) {
            return Err(Refusal::TooManySelections { limit: limits.max_selections });
        }
        if exceeds(self.aliases, limits.max_aliases) {
            return Err(Refusal::TooManyAliases { limit: limits.max_aliases });
        }
        if exceeds(self.directives, limits.max_directives) {
            return Err(Refusal::TooManyDirectives { limit: limits.max_directives });
        }
        if self.depth > limits.max_depth {
            return Err(Refusal::TooDeep { limit: limits.max_depth });
        }
        if self.introspection_depth > MAX_INTROSPECTION_DEPTH {
            return Err(Refusal::TooDeep { limit: MAX_INTROSPECTION_DEPTH });
        }
        if self.introspection > limits.max_introspection {
            return Err(Refusal::TooMuchIntrospection);
        }
        Ok(())
    }
}

/// Takes the facts of each fragment once.
struct Survey<'a> {
    document: &'a ExecutableDocument,
    /// Nothing while the fragment is being measured: whoever comes back to it then came in a circle.
    fragments: HashMap<&'a str, Option<Facts>>,
}

impl<'a> Survey<'a> {
    fn operation(&mut self, operation: &'a OperationDefinition) -> Result<Facts, Refusal> {
        let mut facts = self.selection_set(&operation.selection_set.node, 0)?;
        let on_variables = operation.variable_definitions.iter().map(|definition| count(&definition.node.directives));
        facts.directives =
            on_variables.fold(facts.directives, u64::saturating_add).saturating_add(count(&operation.directives));
        Ok(facts)
    }

    /// The facts of a fragment's selection set; of an unknown fragment none, because validation refuses it.
    fn fragment(&mut self, name: &'a str, level: usize) -> Result<Facts, Refusal> {
        match self.fragments.get(name) {
            Some(Some(facts)) => return Ok(*facts),
            Some(None) => return Err(Refusal::CircularFragment { name: shorten(name) }),
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Facts::default());
        };
        self.fragments.insert(name, None);
        let mut facts = self.selection_set(&fragment.node.selection_set.node, level)?;
        facts.directives = facts.directives.saturating_add(count(&fragment.node.directives));
        self.fragments.insert(name, Some(facts));
        Ok(facts)
    }

    /// `level` is the way here, which exists in the document: too long a way is refused before it is walked to its end.
    fn selection_set(&mut self, set: &'a SelectionSet, level: usize) -> Result<Facts, Refusal> {
        check_level(level)?;
        let mut facts = Facts::default();
        for item in &set.items {
            visited();
            let selected = match &item.node {
                Selection::Field(field) => {
                    let below = self.selection_set(&field.node.selection_set.node, level + 1)?;
                    Facts::of_field(&field.node, &below)
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.fragment(&spread.node.fragment_name.node, level + 1)?;
                    within_fragment(fragment, &spread.node.directives)
                }
                Selection::InlineFragment(fragment) => {
                    let below = self.selection_set(&fragment.node.selection_set.node, level + 1)?;
                    within_fragment(below, &fragment.node.directives)
                }
            };
            facts.join(&selected);
        }
        Ok(facts)
    }
}

fn within_fragment(mut facts: Facts, directives: &[Positioned<Directive>]) -> Facts {
    facts.levels += 1;
    facts.directives = facts.directives.saturating_add(count(directives));
    facts
}

fn check_root(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    facts: &Facts,
    limits: &Limits,
) -> Result<(), Refusal> {
    match operation.ty {
        OperationType::Query => Ok(()),
        OperationType::Mutation if exceeds(facts.root_fields, limits.max_root_fields) => {
            Err(Refusal::TooManyRootFields { limit: limits.max_root_fields })
        }
        OperationType::Mutation => Ok(()),
        OperationType::Subscription if facts.root_fields != 1 => Err(Refusal::SubscriptionRoot),
        OperationType::Subscription => match lift_root(document, operation) {
            Err(Unliftable::Directives(name)) => Err(Refusal::SubscriptionDirectives { name: shorten(&name) }),
            Ok(_) | Err(Unliftable::Fragment) => Ok(()),
        },
    }
}

/// Names of the root fields. Expands, so the document's selections must have been counted before.
fn root_fields(document: &ExecutableDocument, operation: &OperationDefinition) -> Vec<String> {
    fn gather(document: &ExecutableDocument, set: &SelectionSet, names: &mut Vec<String>) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) if field.node.name.node == "__typename" => {}
                Selection::Field(field) => names.push(field.node.name.node.to_string()),
                Selection::InlineFragment(fragment) => gather(document, &fragment.node.selection_set.node, names),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                        gather(document, &fragment.node.selection_set.node, names);
                    }
                }
            }
        }
    }
    let mut names = Vec::new();
    gather(document, &operation.selection_set.node, &mut names);
    names
}

/// Type condition (the nearest one) and response key, and how often a selection set has them. The condition is part of
/// it because a union of many types may ask each of them for the same.
type Keys<'a> = HashMap<(Option<&'a str>, &'a str), u64>;

/// Counts response keys, those of each fragment once; a spread adds the fragment's keys. Comes after the selections
/// have been bounded, so that a fragment has no more keys than [`Limits::max_selections`].
struct Repeats<'a> {
    document: &'a ExecutableDocument,
    fragments: HashMap<&'a str, Keys<'a>>,
    limit: usize,
}

impl<'a> Repeats<'a> {
    fn check(document: &'a ExecutableDocument, limits: &Limits) -> Result<(), Refusal> {
        let mut repeats = Self { document, fragments: HashMap::new(), limit: limits.max_repeats };
        for name in fragments_in_order(document) {
            repeats.fragment(name)?;
        }
        for (_, operation) in operations_in_order(document) {
            repeats.selection_set(&operation.selection_set.node, None, &mut Keys::new())?;
        }
        Ok(())
    }

    /// Knows that there are no circles.
    fn fragment(&mut self, name: &'a str) -> Result<(), Refusal> {
        if self.fragments.contains_key(name) {
            return Ok(());
        }
        let mut keys = Keys::new();
        if let Some(fragment) = self.document.fragments.get(name) {
            let condition = fragment.node.type_condition.node.on.node.as_str();
            self.selection_set(&fragment.node.selection_set.node, Some(condition), &mut keys)?;
        }
        self.fragments.insert(name, keys);
        Ok(())
    }

    fn selection_set(
        &mut self,
        set: &'a SelectionSet,
        condition: Option<&'a str>,
        keys: &mut Keys<'a>,
    ) -> Result<(), Refusal> {
        for item in &set.items {
            visited();
            match &item.node {
                Selection::Field(field) => {
                    self.add(keys, (condition, field.node.response_key().node.as_str()), 1)?;
                    if !field.node.selection_set.node.items.is_empty() {
                        self.selection_set(&field.node.selection_set.node, None, &mut Keys::new())?;
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let nearer = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    self.selection_set(&fragment.node.selection_set.node, nearer.or(condition), keys)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    self.fragment(name)?;
                    for (key, times) in self.fragments.get(name).into_iter().flatten() {
                        self.add(keys, *key, *times)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&self, keys: &mut Keys<'a>, key: (Option<&'a str>, &'a str), times: u64) -> Result<(), Refusal> {
        let counted = keys.entry(key).or_default();
        *counted = counted.saturating_add(times);
        if exceeds(*counted, self.limit) {
            return Err(Refusal::TooManyRepeats { limit: self.limit });
        }
        Ok(())
    }
}

// ---------------------------------------------------------------- price

/// The price of a selection set, in both places where it may stand.
#[derive(Debug, Clone, Copy, Default)]
struct Price {
    /// Outside introspection: pages multiply.
    paged: u64,
    /// Inside introspection: each field counts 1.
    plain: u64,
}

/// Prices each fragment once. That is enough because a price is linear: below a page of `n` it is `n` times the same.
struct Pricing<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    definitions: &'a [Positioned<VariableDefinition>],
    fragments: HashMap<&'a str, Option<Price>>,
}

impl<'a> Pricing<'a> {
    fn fragment(&mut self, name: &'a str, level: usize) -> Result<Price, Refusal> {
        match self.fragments.get(name) {
            Some(Some(price)) => return Ok(*price),
            Some(None) => return Err(Refusal::CircularFragment { name: shorten(name) }),
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Price::default());
        };
        self.fragments.insert(name, None);
        let price = self.selection_set(&fragment.node.selection_set.node, level)?;
        self.fragments.insert(name, Some(price));
        Ok(price)
    }

    fn selection_set(&mut self, set: &'a SelectionSet, level: usize) -> Result<Price, Refusal> {
        check_level(level)?;
        let mut sum = Price::default();
        for item in &set.items {
            visited();
            let price = match &item.node {
                Selection::Field(field) => {
                    let below = self.selection_set(&field.node.selection_set.node, level + 1)?;
                    let plain = below.plain.saturating_add(1);
                    let paged = if is_introspection(&field.node.name.node) {
                        plain
                    } else {
                        below.paged.saturating_mul(self.page(&field.node)).saturating_add(1)
                    };
                    Price { paged, plain }
                }
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node, level + 1)?,
                Selection::InlineFragment(fragment) => {
                    self.selection_set(&fragment.node.selection_set.node, level + 1)?
                }
            };
            sum.paged = sum.paged.saturating_add(price.paged);
            sum.plain = sum.plain.saturating_add(price.plain);
        }
        Ok(sum)
    }

    /// How many items are below the field.
    fn page(&self, field: &Field) -> u64 {
        let name = field.name.node.as_str();
        if name == "nodes"
            && let Some(ids) = self.argument(field, "ids")
        {
            // Anything but a list stands for a list of one.
            return if let Argument::List(length) = ids { length.max(1) } else { 1 };
        }
        let (first, last) = (self.argument(field, "first"), self.argument(field, "last"));
        if first.is_none() && last.is_none() {
            return if CONNECTIONS.contains(&name) { DEFAULT_PAGE } else { 1 };
        }
        let sizes = [first, last].into_iter().flatten().filter_map(|argument| match argument {
            Argument::Null => None,
            Argument::Number(size) => Some(u64::try_from(size).unwrap_or(1).clamp(1, MAX_PAGE)),
            // Validation refuses it, and until then it is dear.
            Argument::List(_) | Argument::Other => Some(MAX_PAGE),
        });
        sizes.max().unwrap_or(DEFAULT_PAGE)
    }

    fn argument(&self, field: &Field, name: &str) -> Option<Argument> {
        // The library does not export the type of values with variables, only this way through one. The variable's
        // value is looked at where it is, for it can be long.
        let mut given_by_variable = None;
        let literal = field.get_argument(name)?.node.clone().into_const_with(|name| {
            given_by_variable = Some(self.variable(&name).map_or(Argument::Null, Argument::of));
            Ok::<_, Infallible>(Value::Null)
        });
        let Ok(literal) = literal;
        Some(match Argument::of(&literal) {
            Argument::Null => given_by_variable.unwrap_or(Argument::Null),
            given => given,
        })
    }

    fn variable(&self, name: &Name) -> Option<&'a Value> {
        let default = || {
            let definition = self.definitions.iter().find(|definition| definition.node.name.node == *name)?;
            definition.node.default_value.as_ref().map(|value| &value.node)
        };
        self.variables.get(name).or_else(default)
    }
}

/// As much of an argument's value as a price needs.
#[derive(Debug, Clone, Copy)]
enum Argument {
    /// Also a variable with neither value nor default.
    Null,
    /// Cut to the range of `i64`.
    Number(i64),
    /// Its length.
    List(u64),
    Other,
}

impl Argument {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Number(number) if number.is_f64() => Self::Other,
            Value::Number(number) => Self::Number(number.as_i64().unwrap_or(i64::MAX)),
            Value::List(items) => Self::List(u64::try_from(items.len()).unwrap_or(u64::MAX)),
            _ => Self::Other,
        }
    }
}

// ---------------------------------------------------------------- subscriptions

/// Why a subscription's root field stays where it is.
#[derive(Debug)]
enum Unliftable {
    /// A fragment that is unknown, on another type, or in a circle; or more fields than anybody would ask for.
    Fragment,
    /// A directive that would stand on the field twice with different arguments.
    Directives(String),
}

/// The root selections as plain fields with the directives of the fragments around them.
fn lift_root(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
) -> Result<Vec<Positioned<Selection>>, Unliftable> {
    let mut lifted = Vec::new();
    lift(document, &operation.selection_set.node, &[], 0, &mut lifted)?;
    Ok(lifted)
}

fn lift(
    document: &ExecutableDocument,
    set: &SelectionSet,
    around: &[Positioned<Directive>],
    level: usize,
    lifted: &mut Vec<Positioned<Selection>>,
) -> Result<(), Unliftable> {
    /// An inspected subscription has one root field, beside any `__typename` that validation refuses.
    const MAX_FIELDS: usize = 64;
    if level > MAX_NESTING || lifted.len() > MAX_FIELDS {
        return Err(Unliftable::Fragment);
    }
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => {
                let mut field = field.clone();
                field.node.directives = gather_directives(around, &field.node.directives)?;
                lifted.push(Positioned::new(Selection::Field(field), item.pos));
            }
            Selection::InlineFragment(fragment) => {
                if fragment.node.type_condition.as_ref().is_some_and(|on| on.node.on.node != "Subscription") {
                    return Err(Unliftable::Fragment);
                }
                let directives = gather_directives(around, &fragment.node.directives)?;
                lift(document, &fragment.node.selection_set.node, &directives, level + 1, lifted)?;
            }
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node).ok_or(Unliftable::Fragment)?;
                if fragment.node.type_condition.node.on.node != "Subscription" {
                    return Err(Unliftable::Fragment);
                }
                let directives = gather_directives(around, &spread.node.directives)?;
                lift(document, &fragment.node.selection_set.node, &directives, level + 1, lifted)?;
            }
        }
    }
    Ok(())
}

/// The directives of a selection with those around it. The same one with the same arguments stands once: a field may
/// not carry it twice, and asking twice asks no more.
fn gather_directives(
    around: &[Positioned<Directive>],
    own: &[Positioned<Directive>],
) -> Result<Vec<Positioned<Directive>>, Unliftable> {
    let mut gathered = own.to_vec();
    for directive in around {
        let same = own.iter().find(|own| own.node.name.node == directive.node.name.node);
        match same {
            None => gathered.push(directive.clone()),
            Some(same) if same.node.arguments == directive.node.arguments => {}
            Some(_) => return Err(Unliftable::Directives(directive.node.name.node.to_string())),
        }
    }
    Ok(gathered)
}

/// Names of all fragments that the operations use, directly or through others.
fn fragments_reached<'a>(
    document: &'a ExecutableDocument,
    operations: impl Iterator<Item = &'a OperationDefinition>,
) -> HashSet<&'a Name> {
    let mut reached = HashSet::new();
    let mut waiting: Vec<&SelectionSet> = operations.map(|operation| &operation.selection_set.node).collect();
    while let Some(set) = waiting.pop() {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => waiting.push(&field.node.selection_set.node),
                Selection::InlineFragment(fragment) => waiting.push(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    if let Some((name, fragment)) = document.fragments.get_key_value(&spread.node.fragment_name.node)
                        && reached.insert(name)
                    {
                        waiting.push(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
    reached
}

struct VariableUses<'a> {
    document: &'a ExecutableDocument,
    names: BTreeSet<String>,
    /// Fragments already followed, and whether at the root: a fragment may be used in both places.
    visited: HashSet<(&'a str, bool)>,
}

impl<'a> VariableUses<'a> {
    fn selection_set(&mut self, set: &'a SelectionSet, at_root: bool) {
        for item in &set.items {
            visited();
            self.directives(item.node.directives());
            match &item.node {
                Selection::Field(field) => {
                    if !at_root {
                        for (_, value) in &field.node.arguments {
                            let Ok(_) = value.node.clone().into_const_with(|name| self.note(&name));
                        }
                    }
                    self.selection_set(&field.node.selection_set.node, false);
                }
                Selection::InlineFragment(fragment) => {
                    self.selection_set(&fragment.node.selection_set.node, at_root);
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.visited.insert((name, at_root))
                    {
                        self.directives(&fragment.node.directives);
                        self.selection_set(&fragment.node.selection_set.node, at_root);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &[Positioned<Directive>]) {
        for directive in directives {
            for (_, value) in &directive.node.arguments {
                let Ok(_) = value.node.clone().into_const_with(|name| self.note(&name));
            }
        }
    }

    fn note(&mut self, name: &Name) -> Result<Value, Infallible> {
        if !self.names.contains(name.as_str()) {
            self.names.insert(name.to_string());
        }
        Ok(Value::Null)
    }
}

// ---------------------------------------------------------------- shared

fn is_introspection(field_name: &str) -> bool {
    matches!(field_name, "__schema" | "__type")
}

/// How many items a list of the introspection schema has, roughly, in a schema of this size.
fn introspection_list(field_name: &str) -> u64 {
    match field_name {
        "types" => 100,
        "fields" | "inputFields" | "enumValues" | "directives" => 8,
        "possibleTypes" => 4,
        "interfaces" | "args" => 2,
        _ => 1,
    }
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

/// As [`find_operation`], to change it.
fn find_operation_mut<'a>(
    document: &'a mut ExecutableDocument,
    operation_name: Option<&str>,
) -> Option<&'a mut OperationDefinition> {
    let operation = match (&mut document.operations, operation_name) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get_mut(name),
        (DocumentOperations::Multiple(operations), None) => operations.values_mut().next(),
    };
    operation.map(|operation| &mut operation.node)
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

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

fn exceeds(counted: u64, limit: usize) -> bool {
    u64::try_from(limit).is_ok_and(|limit| counted > limit)
}

/// Called for each selection that a walk looks at: tests count, everybody else pays nothing.
fn visited() {
    #[cfg(test)]
    tests::VISITED.with(|visited| visited.set(visited.get() + 1));
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fmt::Write, thread};

    use async_graphql::{Request, parser::parse_query};
    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// Selections looked at by the walks of this thread.
        pub(super) static VISITED: Cell<usize> = const { Cell::new(0) };
    }

    /// `getIntrospectionQuery` of graphql-js 16.15 with every option on.
    const INTROSPECTION: &str = "query IntrospectionQuery { __schema {
        description queryType { name kind } mutationType { name kind } subscriptionType { name kind }
        types { ...FullType }
        directives(includeDeprecated: true) {
          name description isRepeatable isDeprecated deprecationReason locations
          args(includeDeprecated: true) { ...InputValue }
        } } }
        fragment FullType on __Type {
          kind name description specifiedByURL isOneOf
          fields(includeDeprecated: true) {
            name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef }
            isDeprecated deprecationReason
          }
          inputFields(includeDeprecated: true) { ...InputValue }
          interfaces { ...TypeRef }
          enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
          possibleTypes { ...TypeRef }
        }
        fragment InputValue on __InputValue {
          name description type { ...TypeRef } defaultValue isDeprecated deprecationReason
        }
        fragment TypeRef on __Type { kind name
          ofType { name kind ofType { name kind ofType { name kind ofType { name kind ofType { name kind
          ofType { name kind ofType { name kind ofType { name kind ofType { name kind } } } } } } } } } }";

    fn parse(source: &str) -> ExecutableDocument {
        parse_query(source).expect("the test's document parses")
    }

    fn inspected(source: &str) -> Result<Outline, Refusal> {
        inspect(&parse(source), None, &Limits::default())
    }

    fn priced(source: &str, variables: &str) -> u64 {
        let unlimited = Limits { max_complexity: u64::MAX, ..Limits::default() };
        cost(&parse(source), None, &variables_of(variables), &unlimited).expect("no limit on the price")
    }

    /// The variables of a GraphQL object literal.
    fn variables_of(literal: &str) -> Variables {
        let document = parse(&format!("query($variables: X = {literal}) {{ x }}"));
        let operation = find_operation(&document, None).expect("one operation");
        let default = operation.variable_definitions[0].node.default_value.clone().expect("written above");
        Variables::from_value(default.node)
    }

    /// What walks looked at while `walk` ran.
    fn visits<T>(walk: impl FnOnce() -> T) -> (T, usize) {
        VISITED.set(0);
        let result = walk();
        (result, VISITED.get())
    }

    /// Selections as written, each once.
    fn written(document: &ExecutableDocument) -> usize {
        fn of(set: &SelectionSet) -> usize {
            let below = |item: &Positioned<Selection>| match &item.node {
                Selection::Field(field) => of(&field.node.selection_set.node),
                Selection::InlineFragment(fragment) => of(&fragment.node.selection_set.node),
                Selection::FragmentSpread(_) => 0,
            };
            set.items.iter().map(|item| 1 + below(item)).sum()
        }
        let operations: usize = document.operations.iter().map(|(_, op)| of(&op.node.selection_set.node)).sum();
        let fragments: usize = document.fragments.values().map(|fragment| of(&fragment.node.selection_set.node)).sum();
        operations + fragments
    }

    fn bomb(levels: usize, spreads: usize) -> String {
        let mut source = "{...f0}".to_owned();
        for level in 0..levels {
            let body = if level + 1 == levels { "id".to_owned() } else { format!("...f{}", level + 1).repeat(spreads) };
            write!(source, "fragment f{level} on Query{{{body}}}").expect("writing to a string");
        }
        source
    }

    // ------------------------------------------------------------ text

    #[test]
    fn a_document_has_so_many_bytes_and_tokens() {
        let limits = Limits::default();
        let padded = |n_bytes: usize| format!("{:<n_bytes$}", "{a}");
        assert_eq!(check_source(&padded(16 * 1024), &limits), Ok(()));
        assert_eq!(check_source(&padded(16 * 1024 + 1), &limits), Err(Refusal::TooManyBytes { limit: 16 * 1024 }));

        let fields = |n_fields: usize| format!("{{{}}}", "a ".repeat(n_fields));
        assert_eq!(measure_source(&fields(1_998), &limits), Ok(2_000));
        assert_eq!(check_source(&fields(1_999), &limits), Err(Refusal::TooManyTokens { limit: 2_000 }));
    }

    #[test]
    fn tokens_are_what_the_parser_takes_as_one() {
        let tokens = |source: &str| measure_source(source, &Limits::default());
        assert_eq!(tokens(""), Ok(0));
        assert_eq!(tokens("# only { a comment\r{a}"), Ok(3));
        assert_eq!(tokens("{,,a,,,b}\u{feff}"), Ok(4));
        assert_eq!(tokens("... @include(if: $a)"), Ok(8));
        assert_eq!(tokens("-1.5e+10 0 7"), Ok(3));
        assert_eq!(tokens("007"), Ok(3));
        assert_eq!(tokens("\"\" \"\\\"\" \"\"\"\"\"\" \"\"\"a\"b\"\"\""), Ok(4));
        assert_eq!(tokens("{a(b: \"👩‍👩‍👧 {[(\") }"), Ok(8));
        assert_eq!(tokens("👩"), Ok(1));
        assert_eq!(tokens("a\0b"), Ok(3));
        assert_eq!(tokens("\"a\0b\""), Ok(1));
    }

    #[test]
    fn brackets_nest_so_deep_and_the_parser_bears_it() {
        let limits = Limits::default();
        for (open, close) in [("{", "}"), ("(", ")"), ("[", "]")] {
            let nested = |depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(check_source(&nested(64), &limits), Ok(()));
            assert_eq!(check_source(&nested(65), &limits), Err(Refusal::TooManyBrackets { limit: 64 }));
        }
        let many = Limits { max_document_bytes: 1 << 20, max_tokens: 1 << 20, ..limits.clone() };
        assert_eq!(check_source(&"{a".repeat(30_000), &many), Err(Refusal::TooManyBrackets { limit: 64 }));
        assert_eq!(check_source(&"[]".repeat(30_000), &many), Ok(()));
        let list = format!("{{a(b: {})}}", "[".repeat(50_000));
        assert_eq!(check_source(&list, &many), Err(Refusal::TooManyBrackets { limit: 64 }));

        // The deepest that is let through, on half a stack of the runtime's threads.
        let (selections, lists, objects) = ("{a".repeat(32), "[".repeat(64), "{a:".repeat(32));
        let deepest =
            format!("{selections}(a:{lists}{objects}1{}{}){}", "}".repeat(32), "]".repeat(64), "}".repeat(32));
        assert_eq!(check_source(&deepest, &limits), Ok(()));
        let parser = thread::Builder::new().stack_size(1 << 20).spawn(move || parse_query(deepest).is_ok());
        assert!(parser.expect("a thread").join().expect("no overflow"));
    }

    #[test]
    fn brackets_in_strings_and_comments_are_text() {
        let brackets = "{[(".repeat(100);
        for source in [
            format!("{{a(b: \"{brackets}\")}}"),
            format!("{{a(b: \"\\\"{brackets}\\\\\")}}"),
            format!("{{a(b: \"\"\"\n {brackets} \"{brackets}\" \\\"\"\" {brackets} # no comment\n\"\"\")}}"),
            format!("{{a # {brackets} \" \"\"\"\n}}"),
        ] {
            assert_eq!(check_source(&source, &Limits::default()), Ok(()), "{source}");
            assert!(parse_query(&source).is_ok(), "{source}");
        }
        let after = format!("{{a(b: \"\"\"x\"\"\" {}", "[".repeat(65));
        assert_eq!(check_source(&after, &Limits::default()), Err(Refusal::TooManyBrackets { limit: 64 }));
    }

    #[test]
    fn a_string_without_an_end_never_reaches_the_parser() {
        for (source, line, column) in [
            ("{a(b: \"", 1, 7),
            ("{a\n é(b: \"c\n\")}", 2, 7),
            ("{a(b: \"c\\", 1, 7),
            ("{a(b: \"c\\\n\")}", 1, 7),
            ("{a(b: \"\"\"c\\\"\"\")}", 1, 7),
            // The parser reads an empty string and another.
            ("{a(b: [\"\"\"c\"])}", 1, 8),
        ] {
            let refused = Err(Refusal::UnterminatedString { line, column });
            assert_eq!(check_source(source, &Limits::default()), refused, "{source}");
        }
    }

    // ------------------------------------------------------------ shape

    #[test]
    fn bombs_are_refused_without_being_expanded() {
        assert_eq!(bomb(22, 2).len(), 774);
        for (levels, spreads) in [(22, 2), (8, 8), (30, 2), (4, 40), (7, 14), (31, 2)] {
            let source = bomb(levels, spreads);
            assert_eq!(check_source(&source, &Limits::default()), Ok(()));
            let document = parse(&source);
            let (refused, visited) = visits(|| inspect(&document, None, &Limits::default()));
            assert_eq!(refused, Err(Refusal::TooManySelections { limit: 1_000 }), "{levels} × {spreads}");
            assert_eq!(visited, written(&document), "{levels} × {spreads}");

            let (_, visited) = visits(|| cost(&document, None, &Variables::default(), &Limits::default()));
            assert_eq!(visited, written(&document), "{levels} × {spreads}");
            let (_, visited) = visits(|| variables_used_below_root(&document, None));
            assert!(visited <= 2 * written(&document), "{levels} × {spreads}");
        }
        // Longer ones break the limit of nesting, and are not walked to their end.
        let document = parse(&bomb(200, 2));
        let (refused, visited) = visits(|| inspect(&document, None, &Limits::default()));
        assert_eq!(refused, Err(Refusal::TooManyLevels { limit: 32 }));
        assert!(visited <= written(&document));
        // A bomb that nothing uses, and one behind an operation that was not asked for.
        let unused = parse(&bomb(22, 2).replace("{...f0}", "{id}"));
        assert_eq!(inspect(&unused, None, &Limits::default()), Err(Refusal::TooManySelections { limit: 1_000 }));
        let beside = parse(&bomb(22, 2).replace("{...f0}", "query a{id} query b{...f0}"));
        assert_eq!(inspect(&beside, Some("a"), &Limits::default()), Err(Refusal::TooManySelections { limit: 1_000 }));
    }

    #[test]
    fn what_is_allowed_is_visited_twice_at_most() {
        let document = parse(&bomb(9, 2));
        let (outline, visited) = visits(|| inspect(&document, None, &Limits { max_repeats: 256, ..Limits::default() }));
        assert_eq!(outline.expect("256 fields").selections, 256);
        assert_eq!(visited, 2 * written(&document));
    }

    #[test]
    fn selections_are_counted_over_the_whole_document() {
        // 25 keys of 30 repeats, and what is missing to the sum.
        let fields = |n_fields: usize| (0..n_fields).map(|n| format!("f{} ", n % 40)).collect::<String>();
        assert_eq!(inspected(&format!("{{{}}}", fields(1_000))).map(|outline| outline.selections), Ok(1_000));
        let over = Err(Refusal::TooManySelections { limit: 1_000 });
        assert_eq!(inspected(&format!("{{{}}}", fields(1_001))), over);

        let two =
            |a, b| parse(&format!("query a{{{}}} query b{{...F}} fragment F on Query{{{}}}", fields(a), fields(b)));
        assert_eq!(inspect(&two(500, 500), Some("a"), &Limits::default()).map(|o| o.selections), Ok(500));
        assert_eq!(inspect(&two(500, 501), Some("a"), &Limits::default()), over);
    }

    #[test]
    fn aliases_and_directives_are_counted_after_expansion() {
        let aliases = |n: usize| format!("{{{}}}", (0..n).map(|n| format!("a{n}: id ")).collect::<String>());
        assert_eq!(inspected(&aliases(30)).map(|outline| outline.aliases), Ok(30));
        assert_eq!(inspected(&aliases(31)), Err(Refusal::TooManyAliases { limit: 30 }));
        let spread = |n| format!("{{{}}} fragment F on Query {{a: b {{c: d e: f}}}}", "...F ".repeat(n));
        assert_eq!(inspected(&spread(10)).map(|outline| outline.aliases), Ok(30));
        assert_eq!(inspected(&spread(11)), Err(Refusal::TooManyAliases { limit: 30 }));

        let directives = |n: usize| format!("{{id {}}}", "@x ".repeat(n));
        assert_eq!(inspected(&directives(20)).map(|outline| outline.directives), Ok(20));
        assert_eq!(inspected(&directives(21)), Err(Refusal::TooManyDirectives { limit: 20 }));
        let everywhere = "query($v: Int @x) @x { a @x ... @x { b @x } ...F @x } fragment F on Query @x { c @x }";
        assert_eq!(inspected(everywhere).map(|outline| outline.directives), Ok(8));
        let unused = format!("{{id}} fragment F on Query {}{{id}}", "@x ".repeat(21));
        assert_eq!(inspected(&unused), Err(Refusal::TooManyDirectives { limit: 20 }));
    }

    #[test]
    fn fields_nest_so_deep_with_or_without_fragments() {
        let fields = |depth: usize| format!("{}{}", "{a".repeat(depth), "}".repeat(depth));
        assert_eq!(inspected(&fields(16)).map(|outline| outline.depth), Ok(16));
        assert_eq!(inspected(&fields(17)), Err(Refusal::TooDeep { limit: 16 }));
        let spread = |depth: usize| format!("{{x{{...F}}}} fragment F on X {}", fields(depth));
        assert_eq!(inspected(&spread(15)).map(|outline| outline.depth), Ok(16));
        assert_eq!(inspected(&spread(16)), Err(Refusal::TooDeep { limit: 16 }));
        let inline = |levels: usize| format!("{}{{a}}{}", "{...".repeat(levels), "}".repeat(levels));
        assert_eq!(inspected(&inline(32)).map(|outline| outline.depth), Ok(1));
        assert_eq!(inspected(&inline(33)), Err(Refusal::TooManyLevels { limit: 32 }));
    }

    #[test]
    fn one_response_key_is_asked_so_often() {
        let repeats = |n: usize| format!("{{viewer{{{}}}}}", "id ".repeat(n));
        assert!(inspected(&repeats(30)).is_ok());
        assert_eq!(inspected(&repeats(31)), Err(Refusal::TooManyRepeats { limit: 30 }));
        assert!(inspected(&format!("{{{}}}", "a{b} ".repeat(30))).is_ok());
        let spread = |n| format!("{{...G}} fragment F on Query{{id}} fragment G on Query{{{}}}", "...F ".repeat(n));
        assert!(inspected(&spread(30)).is_ok());
        assert_eq!(inspected(&spread(31)), Err(Refusal::TooManyRepeats { limit: 30 }));
        // Each type of a union may have the same field.
        let union = (0..40).map(|n| format!("... on T{n} {{id}} ")).collect::<String>();
        assert!(inspected(&format!("{{{union}}}")).is_ok());
    }

    #[test]
    fn circles_are_refused() {
        for source in [
            "{...F} fragment F on Query {...F}",
            "{...F} fragment F on Query {a {... {...G}}} fragment G on A {b {...F}}",
            "{id} fragment F on Query {...G} fragment G on Query {...F}",
        ] {
            let refusal = inspected(source).expect_err(source);
            assert!(matches!(refusal, Refusal::CircularFragment { .. }), "{source}: {refusal}");
            assert_eq!(refusal.code(), "GRAPHQL_VALIDATION_FAILED");
        }
        let document = parse("subscription {...F} fragment F on Subscription {...G} fragment G on Subscription {...F}");
        let circle = Err(Refusal::CircularFragment { name: "F".to_owned() });
        assert_eq!(cost(&document, None, &Variables::default(), &Limits::default()), circle);
        assert!(variables_used_below_root(&document, None).is_empty());
        let untouched = inline_root_fragments(document, None);
        assert_eq!(untouched.fragments.len(), 2);
    }

    #[test]
    fn fragments_unused_or_unknown_are_left_to_validation() {
        assert_eq!(inspected("{id} fragment F on Query {a {b}}").map(|outline| outline.selections), Ok(1));
        assert_eq!(inspected("{id ...F}").map(|outline| outline.selections), Ok(1));
    }

    #[test]
    fn a_request_means_one_operation() {
        let two = parse("query a {id} mutation b {logout {x}}");
        let limits = Limits::default();
        let outline = inspect(&two, Some("b"), &limits).expect("the mutation");
        assert_eq!((outline.name.as_deref(), outline.kind), (Some("b"), OperationType::Mutation));
        assert_eq!(inspect(&two, None, &limits), Err(Refusal::OperationNameMissing));
        let unknown = Err(Refusal::UnknownOperation { name: "c\\n".to_owned() });
        assert_eq!(inspect(&two, Some("c\n"), &limits), unknown);
        assert_eq!(unknown.expect_err("above").code(), "BAD_USER_INPUT");
        assert_eq!(cost(&two, None, &Variables::default(), &limits), Err(Refusal::OperationNameMissing));

        assert!(inspect(&parse("query a {id}"), None, &limits).is_ok());
        assert!(inspect(&parse("{id}"), Some("a"), &limits).is_err());
        let long = inspect(&two, Some(&"x".repeat(5_000)), &limits).expect_err("unknown").to_string();
        assert!(long.chars().count() < 100, "{long}");
    }

    #[test]
    fn mutations_have_so_many_root_fields() {
        let fields = |n| format!("mutation {{__typename ...F}} fragment F on Mutation {{{}}}", "logout{x} ".repeat(n));
        let outline = inspected(&fields(10)).expect("ten");
        assert_eq!(outline.root_fields, vec!["logout"; 10]);
        assert_eq!(inspected(&fields(11)), Err(Refusal::TooManyRootFields { limit: 10 }));
        assert!(inspected(&fields(11).replace("mutation", "query")).is_ok());
    }

    #[test]
    fn one_operation_signs_in_once() {
        for field in SIGN_IN_FIELDS {
            let outline = inspected(&format!("mutation {{{field} {{x}} logout {{x}}}}")).expect(field);
            assert_eq!(outline.sign_in_fields, 1);
            let twice = format!("mutation {{a: {field} {{x}} ... {{b: login {{x}}}}}}");
            assert_eq!(inspected(&twice), Err(Refusal::SeveralSignIns { count: 2 }));
        }
        // The count survives the limits that so many break as well.
        let guesses: String = (0..100).map(|n| format!("a{n}: login {{x}} ")).collect();
        assert_eq!(inspected(&format!("mutation {{{guesses}}}")), Err(Refusal::SeveralSignIns { count: 100 }));
        let spread = bomb(22, 2).replace("{...f0}", "mutation{...f0}").replace("{id}", "{login}");
        assert_eq!(inspected(&spread), Err(Refusal::SeveralSignIns { count: 1 << 21 }));
        let elsewhere = inspected("{login {x} register {x}}").expect("no mutation");
        assert_eq!(elsewhere.sign_in_fields, 0);
    }

    #[test]
    fn subscriptions_have_one_root_field() {
        let one = "subscription {...F __typename} fragment F on Subscription {... {typing {user {id username}}}}";
        assert_eq!(inspected(one).map(|outline| outline.root_fields), Ok(vec!["typing".to_owned()]));
        for source in [
            "subscription {a b}",
            "subscription {a ...F} fragment F on Subscription {a}",
            "subscription {__typename}",
            "subscription {...F}",
        ] {
            assert_eq!(inspected(source), Err(Refusal::SubscriptionRoot), "{source}");
        }
        let directives = "subscription {... @include(if: true) {a @include(if: $x)}}";
        let name = "include".to_owned();
        assert_eq!(inspected(directives), Err(Refusal::SubscriptionDirectives { name }));
        assert!(inspected("subscription {... @include(if: $x) {a @include(if: $x) @skip(if: $y)}}").is_ok());
    }

    #[test]
    fn the_introspection_query_of_graphql_js_passes() {
        let limits = Limits::default();
        assert_eq!(check_source(INTROSPECTION, &limits), Ok(()));
        let outline = inspected(INTROSPECTION).expect("it passes");
        assert!(outline.introspects);
        assert_eq!(outline.root_fields, ["__schema"]);
        let cost = cost(&parse(INTROSPECTION), None, &Variables::default(), &limits).expect("it passes");
        assert_eq!(cost, outline.selections);
        // Not by a hair.
        assert!(outline.selections < 500, "{outline:?}");
        let half = Limits { max_introspection: 150_000, ..limits };
        assert!(inspect(&parse(INTROSPECTION), None, &half).is_ok());
    }

    #[test]
    fn introspection_nests_so_deep_and_not_in_circles() {
        let depth = |depth: usize| {
            let (open, close) = ("{ofType".repeat(depth - 1), "}".repeat(depth - 1));
            inspected(&format!("{{__type(name: \"X\"){open}{close}}}"))
        };
        let outline = depth(20).expect("twenty");
        assert_eq!(outline.depth, 1);
        assert_eq!(depth(21), Err(Refusal::TooDeep { limit: 20 }));

        let circles = |n: usize| {
            let (open, close) = ("{fields{type".repeat(n), "}}".repeat(n));
            inspected(&format!("{{__schema{{types{open}{{name}}{close}}}}}"))
        };
        assert!(circles(3).is_ok());
        assert_eq!(circles(4), Err(Refusal::TooMuchIntrospection));
        assert_eq!(circles(8), Err(Refusal::TooMuchIntrospection));
        let spread = "{__schema{types{...F}}} fragment F on __Type{fields{type{...G}}}
            fragment G on __Type{fields{type{...H}}} fragment H on __Type{fields{type{fields{type{name}}}}}";
        assert_eq!(inspected(spread), Err(Refusal::TooMuchIntrospection));
        // The names mean nothing elsewhere.
        assert!(inspected("{types{fields{type{fields{type{fields{type{fields{type{name}}}}}}}}}}").is_ok());
    }

    // ------------------------------------------------------------ price

    #[test]
    fn pages_multiply_what_is_below_them() {
        let page = |arguments: &str| priced(&format!("{{thing{arguments}{{a}}}}"), "{}") - 1;
        assert_eq!(page(""), 1);
        assert_eq!(page("(first: 7)"), 7);
        assert_eq!(page("(last: 7)"), 7);
        assert_eq!(page("(first: 7, last: 9)"), 9);
        assert_eq!(page("(first: 0)"), 1);
        assert_eq!(page("(first: -5)"), 1);
        assert_eq!(page("(first: 100)"), 100);
        assert_eq!(page("(first: 101)"), 100);
        assert_eq!(page("(first: 99999999999999999999999)"), 100);
        assert_eq!(page("(first: 18446744073709551615)"), 100);
        assert_eq!(page("(first: -9223372036854775808)"), 1);
        assert_eq!(page("(first: 1.5)"), 100);
        assert_eq!(page("(first: \"7\")"), 100);
        assert_eq!(page("(first: [7])"), 100);
        assert_eq!(page("(first: null)"), DEFAULT_PAGE);
        assert_eq!(page("(first: null, last: 3)"), 3);
        assert_eq!(page("(first: $unknown)"), DEFAULT_PAGE);
        for connection in CONNECTIONS {
            assert_eq!(priced(&format!("{{{connection}(after: \"x\") {{a}}}}"), "{}"), 1 + DEFAULT_PAGE);
            assert_eq!(priced(&format!("{{a: {connection}(first: 2) {{a}}}}"), "{}"), 1 + 2);
            assert_eq!(priced(&format!("{{{connection}}}"), "{}"), 1);
        }
        assert_eq!(priced("{conversations(first: 20) {nodes {messages {nodes {body}}}}}", "{}"), {
            1 + 20 * (1 + (1 + 50 * (1 + 1)))
        });
    }

    #[test]
    fn pages_and_ids_come_from_variables_too() {
        let source = "query($n: Int = 9) {thing(first: $n) {a}}";
        assert_eq!(priced(source, "{}"), 1 + 9);
        assert_eq!(priced(source, "{n: 4}"), 1 + 4);
        assert_eq!(priced(source, "{n: 400000}"), 1 + 100);
        assert_eq!(priced(source, "{n: -4}"), 1 + 1);
        assert_eq!(priced(source, "{n: null}"), 1 + DEFAULT_PAGE);

        assert_eq!(priced("{nodes {a}}", "{}"), 1 + 1);
        assert_eq!(priced("{nodes(ids: []) {a}}", "{}"), 1 + 1);
        assert_eq!(priced("{nodes(ids: \"a\") {a}}", "{}"), 1 + 1);
        assert_eq!(priced("{nodes(ids: [\"a\", $b, \"c\"]) {a}}", "{}"), 1 + 3);
        let ids = "query($ids: [ID!]! = [1, 2]) {nodes(ids: $ids) {a}}";
        assert_eq!(priced(ids, "{}"), 1 + 2);
        assert_eq!(priced(ids, "{ids: [1, 2, 3, 4]}"), 1 + 4);
        assert_eq!(priced(ids, "{ids: 1}"), 1 + 1);
        assert_eq!(priced("query($ids: [ID!]!) {nodes(ids: $ids) {a}}", "{}"), 1 + 1);
    }

    #[test]
    fn an_operation_costs_so_much() {
        let limits = Limits::default();
        let fields = |n: usize| parse(&format!("{{friends(first: 100) {{{}}}}}", "a ".repeat(n)));
        let cost_of = |document| cost(&document, None, &Variables::default(), &limits);
        assert_eq!(cost_of(fields(99)), Ok(9_901));
        assert_eq!(cost_of(fields(100)), Err(Refusal::TooCostly { cost: 10_001, limit: 10_000 }));
        let exact = Limits { max_complexity: 9_901, ..Limits::default() };
        assert_eq!(cost(&fields(99), None, &Variables::default(), &exact), Ok(9_901));

        let deep = format!("{}{}", "{messages(first: 100)".repeat(16), "}".repeat(16));
        assert!(matches!(cost_of(parse(&deep)), Err(Refusal::TooCostly { cost: u64::MAX, .. })));
        let inside = format!("{{__schema{{messages{{friends{{a b}}}}}}}} # {deep}");
        assert_eq!(cost_of(parse(&inside)), Ok(5));
    }

    #[test]
    fn every_refusal_is_one_short_line() {
        for refusal in [
            Refusal::TooManyBytes { limit: 1 },
            Refusal::TooManyTokens { limit: 1 },
            Refusal::TooManyBrackets { limit: 1 },
            Refusal::UnterminatedString { line: 1, column: 1 },
            Refusal::UnknownOperation { name: shorten(&"\n".repeat(100)) },
            Refusal::OperationNameMissing,
            Refusal::CircularFragment { name: shorten(&"f".repeat(9_000)) },
            Refusal::TooManyLevels { limit: 1 },
            Refusal::TooDeep { limit: 1 },
            Refusal::TooManySelections { limit: 1 },
            Refusal::TooManyAliases { limit: 1 },
            Refusal::TooManyDirectives { limit: 1 },
            Refusal::TooManyRepeats { limit: 1 },
            Refusal::TooManyRootFields { limit: 1 },
            Refusal::SeveralSignIns { count: 2 },
            Refusal::SubscriptionRoot,
            Refusal::SubscriptionDirectives { name: shorten("include") },
            Refusal::TooMuchIntrospection,
            Refusal::TooCostly { cost: u64::MAX, limit: 1 },
        ] {
            let message = refusal.to_string();
            assert!(message.ends_with('.') && !message.contains('\n') && message.chars().count() < 150, "{message}");
            assert!(refusal.code().chars().all(|char| char.is_ascii_uppercase() || char == '_'));
        }
    }

    // ------------------------------------------------------------ subscriptions

    fn lifted(source: &str) -> (Vec<Positioned<Selection>>, ExecutableDocument) {
        let document = inline_root_fragments(parse(source), None);
        let items = find_operation(&document, None).expect("one operation").selection_set.node.items.clone();
        (items, document)
    }

    #[test]
    fn root_fields_of_subscriptions_are_lifted_out_of_fragments() {
        let source = "subscription { ...F @include(if: $a) }
            fragment F on Subscription { ... on Subscription @skip(if: $b) { ...G } }
            fragment G on Subscription { t: typing(conversationId: $c) @include(if: $a) { ...T user { ...U } } }
            fragment T on TypingEvent { typing } fragment U on User { id }";
        let (items, document) = lifted(source);
        let [Positioned { node: Selection::Field(field), .. }] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!(field.node.response_key().node, "t");
        let directives: Vec<_> =
            field.node.directives.iter().map(|directive| directive.node.name.node.as_str()).collect();
        assert_eq!(directives, ["include", "skip"]);
        let mut fragments: Vec<_> = document.fragments.keys().map(Name::as_str).collect();
        fragments.sort_unstable();
        assert_eq!(fragments, ["T", "U"]);
        let used: Vec<_> = variables_used_below_root(&document, None).into_iter().collect();
        assert_eq!(used, ["a", "b"]);
    }

    #[test]
    fn what_cannot_be_lifted_stays() {
        for source in [
            "{ ...F } fragment F on Query { id }",
            "mutation { ...F } fragment F on Mutation { id }",
            "subscription { ...F } fragment F on Query { id }",
            "subscription { ... on Query { id } }",
            "subscription { ...F }",
            "subscription { ... @skip(if: $a) { id @skip(if: $b) } }",
        ] {
            let (items, document) = lifted(source);
            assert!(!matches!(items[0].node, Selection::Field(_)), "{source}");
            assert_eq!(document.fragments.len(), parse(source).fragments.len());
        }
        let (items, _) = lifted("subscription { typing { ...F } } fragment F on TypingEvent { typing }");
        assert!(matches!(items[0].node, Selection::Field(_)));
        let unknown = inline_root_fragments(parse("subscription a { ... { id } }"), Some("b"));
        assert_eq!(unknown.fragments.len(), 0);
    }

    #[test]
    fn fragments_that_others_use_are_kept() {
        let source = "subscription a { ...F } subscription b { ...F } fragment F on Subscription { ...G }
            fragment G on Subscription { typing { typing } } fragment Unused on Subscription { typing { typing } }";
        let document = inline_root_fragments(parse(source), Some("a"));
        assert_eq!(document.fragments.len(), 3);
        let document = inline_root_fragments(document, Some("b"));
        assert_eq!(document.fragments.keys().map(Name::as_str).collect::<Vec<_>>(), ["Unused"]);
    }

    #[test]
    fn variables_are_found_wherever_they_are_below_the_root() {
        let source = "subscription($root: ID!, $op: X) @x(a: $op) {
              ...F @include(if: $spread)
            }
            fragment F on Subscription {
              events(after: $root, other: {a: [$nested]}) @skip(if: $field) {
                a(b: $below) ... @x(a: {b: [1, $inline]}) { c(d: [{e: $deep}]) } ...G
              }
            }
            fragment G on X @y(a: $definition) { messages(first: $page) { id } ...G }";
        let used: Vec<_> = variables_used_below_root(&parse(source), None).into_iter().collect();
        assert_eq!(used, ["below", "deep", "definition", "field", "inline", "op", "page", "spread"]);
        let both = "subscription { ...F a { ...F } } fragment F on X { b(c: $d) { e } }";
        assert_eq!(variables_used_below_root(&parse(both), None), BTreeSet::from(["d".to_owned()]));
        assert!(variables_used_below_root(&parse(both), Some("unknown")).is_empty());
    }

    #[test]
    fn the_library_takes_the_document() {
        let mut request = Request::new("");
        request.set_parsed_query(inline_root_fragments(parse("subscription { ... { a } }"), None));
        assert!(request.parsed_query().is_ok());
    }

    // ------------------------------------------------------------ properties

    /// A selection, described apart from its syntax tree.
    #[derive(Debug, Clone)]
    enum Item {
        Field {
            name: usize,
            alias: bool,
            page: Page,
            directive: bool,
            below: Vec<Item>,
        },
        /// Of one of the fragments that come later, if any does.
        Spread(usize),
        Inline(Vec<Item>),
    }

    #[derive(Debug, Clone, Copy)]
    enum Page {
        Open,
        First(i64),
        Last(i64),
        Given,
        Default,
        Missing,
        Ids(usize),
    }

    const NAMES: [&str; 7] = ["id", "viewer", "messages", "friends", "nodes", "__schema", "__typename"];
    const HEADER: &str = "query Q($given: Int = 3, $default: Int = 8, $missing: Int) ";
    const VARIABLES: &str = "{given: 6}";

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let page = prop_oneof![
            4 => Just(Page::Open),
            1 => (-3..130_i64).prop_map(Page::First),
            1 => (-3..130_i64).prop_map(Page::Last),
            1 => prop_oneof![Just(Page::Given), Just(Page::Default), Just(Page::Missing)],
            1 => (0..4_usize).prop_map(Page::Ids),
        ];
        let field = move |below: BoxedStrategy<Vec<Item>>| {
            (0..NAMES.len(), any::<bool>(), page.clone(), any::<bool>(), below)
                .prop_map(|(name, alias, page, directive, below)| Item::Field { name, alias, page, directive, below })
        };
        let leaf = prop_oneof![field(Just(Vec::new()).boxed()), (0..9_usize).prop_map(Item::Spread)];
        let item = leaf.prop_recursive(4, 24, 4, move |item| {
            let below = prop::collection::vec(item, 1..4).boxed();
            prop_oneof![3 => field(below.clone()), 1 => below.prop_map(Item::Inline)]
        });
        prop::collection::vec(item, 1..4)
    }

    /// Which fragment a spread in set number `set` means: sets are numbered from 0, the operation, on.
    fn target(set: usize, wish: usize, n_sets: usize) -> Option<usize> {
        let n_later = n_sets - set - 1;
        (n_later > 0).then(|| set + 1 + wish % n_later)
    }

    fn render(items: &[Item], set: usize, n_sets: usize, source: &mut String) {
        source.push('{');
        for item in items {
            match item {
                Item::Field { name, alias, page, directive, below } => {
                    let alias = if *alias { "x: " } else { "" };
                    let arguments = match page {
                        Page::Open => String::new(),
                        Page::First(size) => format!("(first: {size})"),
                        Page::Last(size) => format!("(last: {size})"),
                        Page::Given => "(first: $given)".to_owned(),
                        Page::Default => "(last: $default)".to_owned(),
                        Page::Missing => "(first: $missing)".to_owned(),
                        Page::Ids(length) => format!("(ids: [{}])", "1 ".repeat(*length)),
                    };
                    let directive = if *directive { "@x" } else { "" };
                    write!(source, " {alias}{}{arguments} {directive}", NAMES[*name]).expect("writing to a string");
                    if !below.is_empty() {
                        render(below, set, n_sets, source);
                    }
                }
                Item::Spread(wish) => match target(set, *wish, n_sets) {
                    Some(fragment) => write!(source, " ...F{fragment}").expect("writing to a string"),
                    None => source.push_str(" id"),
                },
                Item::Inline(below) => {
                    source.push_str(" ...");
                    render(below, set, n_sets, source);
                }
            }
        }
        source.push('}');
    }

    /// What the walks should find, by expanding everything and multiplying from the top.
    #[derive(Debug, Default, PartialEq)]
    struct Expanded {
        cost: u128,
        selections: u64,
        aliases: u64,
        directives: u64,
        depth: usize,
        introspection_depth: usize,
        levels: usize,
    }

    #[derive(Clone, Copy)]
    struct Place {
        times: u128,
        introspects: bool,
        depth: usize,
        level: usize,
    }

    fn expand(sets: &[Vec<Item>], items: &[Item], set: usize, place: Place, sum: &mut Expanded) {
        sum.levels = sum.levels.max(place.level);
        for item in items {
            let inner = Place { level: place.level + 1, ..place };
            match item {
                Item::Field { name, alias, page, directive, below } => {
                    let name = NAMES[*name];
                    let introspects = place.introspects || name == "__schema";
                    let connection = matches!(name, "messages" | "friends");
                    let size: i64 = match page {
                        Page::Ids(length) if name == "nodes" => (*length).try_into().expect("small"),
                        Page::Open | Page::Ids(_) if connection => 50,
                        Page::Open | Page::Ids(_) => 1,
                        Page::First(size) | Page::Last(size) => (*size).min(100),
                        Page::Given => 6,
                        Page::Default => 8,
                        Page::Missing => 50,
                    };
                    let size: u128 = size.max(1).try_into().expect("positive");
                    let times = if introspects { place.times } else { place.times * size };
                    let depth = place.depth + 1;
                    sum.cost += place.times;
                    sum.selections += 1;
                    sum.aliases += u64::from(*alias);
                    sum.directives += u64::from(*directive);
                    if introspects {
                        sum.introspection_depth = sum.introspection_depth.max(depth);
                    }
                    if !place.introspects {
                        sum.depth = sum.depth.max(depth);
                    }
                    if !below.is_empty() {
                        expand(sets, below, set, Place { times, introspects, depth, ..inner }, sum);
                    }
                }
                Item::Spread(wish) => match target(set, *wish, sets.len()) {
                    Some(fragment) => expand(sets, &sets[fragment], fragment, inner, sum),
                    None => {
                        let depth = place.depth + 1;
                        sum.cost += place.times;
                        sum.selections += 1;
                        if place.introspects {
                            sum.introspection_depth = sum.introspection_depth.max(depth);
                        } else {
                            sum.depth = sum.depth.max(depth);
                        }
                    }
                },
                Item::Inline(below) => expand(sets, below, set, inner, sum),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn walks_with_a_memo_find_what_expansion_finds(sets in prop::collection::vec(items(), 1..5)) {
            let mut source = HEADER.to_owned();
            for (set, items) in sets.iter().enumerate() {
                if set > 0 {
                    write!(source, " fragment F{set} on X ").expect("writing to a string");
                }
                render(items, set, sets.len(), &mut source);
            }
            let mut expanded = Expanded::default();
            let top = Place { times: 1, introspects: false, depth: 0, level: 0 };
            expand(&sets, &sets[0], 0, top, &mut expanded);

            let document = parse(&source);
            let operation = find_operation(&document, None).expect("one operation");
            let mut survey = Survey { document: &document, fragments: HashMap::new() };
            let facts = survey.operation(operation).expect("few levels");
            let unlimited = Limits { max_complexity: u64::MAX, ..Limits::default() };
            let (cost, visited) = visits(|| cost(&document, None, &variables_of(VARIABLES), &unlimited));
            let found = Expanded {
                cost: u128::from(cost.expect("no limit")),
                selections: facts.selections,
                aliases: facts.aliases,
                directives: facts.directives,
                depth: facts.depth,
                introspection_depth: facts.introspection_depth,
                levels: facts.levels,
            };
            prop_assert!(visited <= written(&document));
            prop_assert_eq!(found, expanded, "{}", source);
        }

        #[test]
        fn any_text_is_scanned_to_its_end(source in "([{}()\\[\\]\"\\\\#.,$@!:a0-9é👩\0\r\n -]|\"\"\"|\\.\\.\\.){0,60}") {
            let tokens: Vec<Token> = Lexer::new(&source).collect();
            let mut end = 0;
            for token in &tokens {
                prop_assert!(end <= token.start && token.start < token.end && token.end <= source.len());
                prop_assert!(source.is_char_boundary(token.start) && source.is_char_boundary(token.end));
                end = token.end;
            }
            let wide = Limits { max_tokens: usize::MAX, ..Limits::default() };
            let too_many = matches!(check_source(&source, &wide), Err(Refusal::TooManyTokens { .. }));
            prop_assert!(!too_many);
        }

        #[test]
        fn every_string_that_the_parser_accepts_is_one_token(text in "([a{}\\[\\]()#é👩\0 ]|\\\\\"|\\\\n|\\\\\\\\){0,20}") {
            for source in [format!("{{a(b:\"{text}\")}}"), format!("{{a(b:\"\"\"{text} \"\"\")}}")] {
                if parse_query(&source).is_ok() {
                    prop_assert_eq!(measure_source(&source, &Limits::default()), Ok(8), "{}", source);
                }
            }
        }
    }
}
