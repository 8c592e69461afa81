//! From a request to an answer, the same for HTTP, WebSocket and server-sent events.
//!
//! [`Engine::prepare`] reads the document (or finds it in the cache), keeps the guard's limits and picks the operation;
//! [`Engine::execute`] runs a query or a mutation within its time; [`Engine::finish`] is the one place where errors get
//! their code and our own faults are masked. Subscriptions are executed by the delivery, out of the same
//! [`Prepared`].
//!
//! | what went wrong | `extensions.code` |
//! | --- | --- |
//! | the text is no document | `GRAPHQL_PARSE_FAILED` |
//! | the document does not fit the schema | `GRAPHQL_VALIDATION_FAILED` |
//! | the request names a document that is not known | as [`persisted`] says |
//! | only trusted documents run here, and it is none | `DOCUMENT_NOT_TRUSTED` |
//! | a limit of the guard | `TOO_COMPLEX` |
//! | the operation's name, a variable or an argument | `BAD_USER_INPUT` |
//! | a resolver's [`Error`] | [`Error::code`] |
//! | a panic, or an error that is not an [`Error`] | `INTERNAL`, masked |
//! | no answer within [`TIME_LIMIT`] | `UNAVAILABLE`, masked |

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use async_graphql::{
    ErrorExtensionValues, PathSegment, Request, Response, ServerError, Value, Variables,
    parser::types::{BaseType, OperationDefinition, OperationType},
};
use futures_util::FutureExt;
use sea_orm::DbErr;
use serde::Deserialize;
use tokio_util::task::TaskTracker;

use super::{
    CurrentLoaders, KithSchema, build_schema,
    documents::{CachedDocument, DocumentCache, DocumentError},
    guard,
    persisted::{self, Name, PersistedQueries},
    trusted::TrustedDocuments,
};
use crate::{
    app::App,
    auth::RequestContext,
    config::TrustedMode,
    error::{Error, retry_after_seconds},
    rate_limits::{self, Counted, TooMuch},
    server::metrics::{OperationMeters, Outcome},
};

/// Wall-clock time of a query or mutation. One that takes longer is given up, at the database too.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Most errors in one answer: more of the same kind teach nobody anything.
pub const MAX_ERRORS: usize = 10;

/// Longest message of an error, in characters.
const MAX_MESSAGE: usize = 300;

/// Parses, guards and executes operations.
pub struct Engine {
    pub app: Arc<App>,
    pub schema: KithSchema,
    pub documents: DocumentCache,
    /// Texts that clients sent once and name since.
    persisted: PersistedQueries,
    /// Documents of one's own clients, if any were named.
    trusted: Option<TrustedDocuments>,
    /// Mutations on their way. They end by themselves, also when their client has gone; a server that closes waits
    /// for them.
    pub mutations: TaskTracker,
    introspection: bool,
    meters: OperationMeters,
}

/// What a client sends, on every transport. It has a `query` or names its document.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Sent")]
pub struct GraphqlRequest {
    pub query: Option<String>,
    /// `documentId`.
    pub document_id: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Option<Variables>,
    pub extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    query: Option<String>,
    document_id: Option<String>,
    operation_name: Option<String>,
    variables: Option<Variables>,
    extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

impl TryFrom<Sent> for GraphqlRequest {
    type Error = &'static str;

    fn try_from(sent: Sent) -> Result<Self, Self::Error> {
        let Sent { query, document_id, operation_name, variables, extensions } = sent;
        let request = Self { query, document_id, operation_name, variables, extensions };
        match request.has_document() {
            true => Ok(request),
            false => Err("missing field `query`"),
        }
    }
}

/// An operation that passed the guard and can be executed.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub document: Arc<CachedDocument>,
    pub operation_name: Option<String>,
    pub variables: Variables,
    pub kind: OperationType,
}

/// The answer to a query or mutation.
#[derive(Debug)]
pub struct Executed {
    /// Finished: its errors have codes and tell nothing that is not the client's to know.
    pub response: Response,
    /// Whether execution began. If it did not, the answer has no `data`.
    pub began: bool,
    /// Seconds to wait, if a limit of how often was hit.
    pub retry_after: Option<u64>,
    /// What was counted for it.
    pub counted: Vec<Counted>,
}

/// Why a request was not executed, ready to be sent: never empty, each error with its code.
pub type RequestErrors = Vec<ServerError>;

impl Prepared {
    /// The static facts of the operation.
    fn outline(&self) -> Option<&guard::Outline> {
        self.document.outline(self.operation_name.as_deref()).ok()
    }
}

impl GraphqlRequest {
    /// Whether there is a text, or something that names one. What names it badly is refused later.
    pub fn has_document(&self) -> bool {
        self.query.is_some() || !matches!(self.document_name(), Ok(None))
    }

    /// Reads a request from JSON. Unknown keys are left alone; a batch, a missing `query` or a value of the wrong type
    /// is refused in a sentence, with the code `BAD_USER_INPUT`.
    pub fn from_json(json: &[u8]) -> Result<Self, ServerError> {
        match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') | None => {}
            Some(b'[') => return Err(bad_request("Batches are not supported: send one operation per request.")),
            Some(_) => return Err(bad_request("The request must be a JSON object with the key \"query\".")),
        }
        serde_json::from_slice(json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            if error.is_data() {
                bad_request(format!("The request does not fit: {error}."))
            } else {
                bad_request(format!("The request is not valid JSON (line {line}, column {column})."))
            }
        })
    }
}

impl Engine {
    /// Fails where the trusted documents cannot be used.
    pub async fn new(app: Arc<App>) -> Result<Self, Error> {
        let documents = DocumentCache::new(guard::Limits::default());
        let trusted = match &app.config.documents.trusted {
            Some(directory) => Some(TrustedDocuments::load(directory, &documents).await?),
            None => None,
        };
        if let Some(trusted) = &trusted {
            tracing::info!(n_documents = trusted.n_documents(), mode = ?app.config.documents.mode, "trusted documents");
        }
        Ok(Self {
            schema: build_schema(&app),
            introspection: app.config.introspection(),
            app,
            documents,
            persisted: PersistedQueries::default(),
            trusted,
            mutations: TaskTracker::new(),
            meters: OperationMeters::find(),
        })
    }

    /// Finds or parses the document, keeps the limits and picks the operation. Whether it fits the schema shows when
    /// it is executed.
    pub fn prepare(&self, request: GraphqlRequest) -> Result<Prepared, RequestErrors> {
        self.try_prepare(request).map_err(|mut error| {
            self.meters.refused();
            error.message = tidy(std::mem::take(&mut error.message));
            vec![error]
        })
    }

    fn try_prepare(&self, request: GraphqlRequest) -> Result<Prepared, ServerError> {
        let name = request.document_name()?;
        let text = request.sent_text(name.as_ref());
        let document = self.find_document(name.as_ref(), text)?;
        let keeps = text.is_some() && self.trusted_only().is_none();
        // Some clients send an empty name where they have none.
        let operation_name = request.operation_name.filter(|name| !name.is_empty());
        let mut variables = request.variables.unwrap_or_default();
        let refused = |refusal: guard::Refusal| coded(refusal.to_string(), refusal.code());
        let outline = document.outline(operation_name.as_deref()).map_err(refused)?;
        // The library would answer null where its own schema says there is no null.
        if outline.introspects && !self.introspection {
            return Err(coded("Introspection is off.", "GRAPHQL_VALIDATION_FAILED"));
        }
        let kind = outline.kind;
        check_variables(&document, operation_name.as_deref(), &variables)?;
        fill_in_defaults(&document, operation_name.as_deref(), &mut variables);
        guard::cost(&document.document, operation_name.as_deref(), &variables, self.documents.limits())
            .map_err(refused)?;
        if let Some(name) = name.filter(|name| name.is_hash && keeps) {
            self.persisted.keep(&name.id, &document.source);
        }
        Ok(Prepared { document, operation_name, variables, kind })
    }

    /// The document that a request has or names.
    fn find_document(&self, name: Option<&Name>, text: Option<&str>) -> Result<Arc<CachedDocument>, ServerError> {
        let by_id = |name: &Name| self.trusted.as_ref().and_then(|trusted| trusted.by_id(&name.id)).cloned();
        match (name, text) {
            (None, None) => Err(bad_request("The request has no query.")),
            (None, Some(text)) => self.document_of(text),
            (Some(name), Some(text)) => match by_id(name) {
                Some(document) if *document.source == *text => Ok(document),
                Some(_) => Err(persisted::mismatch()),
                None if !name.is_hash => Err(persisted::unknown_id()),
                None if !persisted::is_hash_of(&name.id, text) => Err(persisted::mismatch()),
                None => self.document_of(text),
            },
            (Some(name), None) => match by_id(name) {
                Some(document) => Ok(document),
                None if !name.is_hash => Err(persisted::unknown_id()),
                None if self.trusted_only().is_some() => Err(persisted::not_supported()),
                None => self.document_of(&self.persisted.get(&name.id).ok_or_else(persisted::not_found)?),
            },
        }
    }

    fn document_of(&self, text: &str) -> Result<Arc<CachedDocument>, ServerError> {
        if let Some(document) = self.trusted.as_ref().and_then(|trusted| trusted.by_text(text)) {
            return Ok(Arc::clone(document));
        }
        if self.trusted_only().is_some() {
            return Err(coded("Only the documents that this server knows run on it.", "DOCUMENT_NOT_TRUSTED"));
        }
        // The parser is not ours: a panic in it may cost a request, but not the other operations of a socket.
        catch_unwind(AssertUnwindSafe(|| self.documents.get(text)))
            .map_err(|_| coded("The document cannot be read.", "GRAPHQL_PARSE_FAILED"))?
            .map_err(|error| document_error(&error))
    }

    /// The trusted documents, where nothing else runs.
    fn trusted_only(&self) -> Option<&TrustedDocuments> {
        self.trusted.as_ref().filter(|_| self.app.config.documents.mode == TrustedMode::Only)
    }

    /// Executes a query or mutation and finishes its answer. Never longer than [`TIME_LIMIT`]; a panic of a resolver
    /// costs this operation only. A mutation goes on when the returned future is dropped, so that no client leaves one
    /// half-way; a query is given up.
    pub async fn execute(self: &Arc<Self>, prepared: Prepared, context: RequestContext) -> Executed {
        let started = Instant::now();
        let kind = prepared.kind;
        let executed = match kind {
            OperationType::Query => self.run(prepared, context).await,
            OperationType::Mutation => {
                let engine = Arc::clone(self);
                let request_id = Arc::clone(&context.request_id);
                let task = self.mutations.spawn(async move { engine.run(prepared, context).await });
                match task.await {
                    Ok(executed) => executed,
                    // Panics are caught inside; the runtime is going down.
                    Err(_) => Executed::failed(Error::Unavailable("the mutation was cancelled".into()), &request_id),
                }
            }
            OperationType::Subscription => Executed {
                response: Response::from_errors(vec![coded(
                    "Subscriptions are served at /graphql/ws (graphql-transport-ws) and /graphql/stream (graphql-sse).",
                    "BAD_USER_INPUT",
                )]),
                began: false,
                retry_after: None,
                counted: Vec::new(),
            },
        };
        let outcome = match &executed {
            Executed { began: false, .. } => Outcome::Refused,
            Executed { response, .. } if response.errors.is_empty() => Outcome::Ok,
            Executed { .. } => Outcome::Errors,
        };
        self.meters.executed(kind, outcome, started);
        executed
    }

    async fn run(&self, prepared: Prepared, context: RequestContext) -> Executed {
        let request_id = Arc::clone(&context.request_id);
        let fields = match prepared.kind {
            OperationType::Mutation if self.app.rate_limits.are_on() => {
                prepared.outline().map(|outline| outline.root_fields.clone())
            }
            OperationType::Mutation | OperationType::Query | OperationType::Subscription => None,
        };
        let caller = context.caller;
        let request = self.request(prepared, context, CurrentLoaders::new(&self.app));
        let execution = rate_limits::counted(async {
            if let Some(fields) = fields {
                self.app.rate_limits.check_fields(&fields, &caller).await?;
            }
            Ok::<_, Error>(self.schema.execute(request).await)
        });
        let execution = AssertUnwindSafe(execution).catch_unwind();
        let in_time = async {
            tokio::select! {
                biased;
                executed = tokio::time::timeout(TIME_LIMIT, execution) => executed.map_err(|_| "the operation took too long"),
                () = self.app.db.is_away() => Err("the database does not answer"),
            }
        };
        match in_time.await {
            Ok(Ok((Err(error), counted))) => Executed { counted, ..Executed::failed(error, &request_id) },
            Ok(Ok((Ok(mut response), counted))) => {
                let began = has_begun(&response);
                let retry_after = finish(&mut response, began, &request_id);
                Executed { response, began, retry_after, counted }
            }
            Ok(Err(_)) => Executed::failed(Error::Internal("a resolver panicked".into()), &request_id),
            Err(cause) => Executed::failed(Error::Unavailable(cause.into()), &request_id),
        }
    }

    /// The library's request for an operation, with what resolvers ask the context for.
    pub fn request(&self, prepared: Prepared, context: RequestContext, loaders: Arc<CurrentLoaders>) -> Request {
        // The text is for the library's parser, which has nothing to do.
        let mut request = Request::new(String::new()).variables(prepared.variables).data(context).data(loaders);
        request.operation_name = prepared.operation_name;
        request.set_parsed_query(prepared.document.document.clone());
        request
    }

    /// Gives every error of an answer its code and masks our own faults, which go to the log once, with the request's
    /// id. Says how long to wait when a limit of how often was hit. For answers of subscriptions;
    /// [`Engine::execute`] does it by itself.
    pub fn finish(&self, response: &mut Response, context: &RequestContext) -> Option<u64> {
        let began = has_begun(response);
        finish(response, began, &context.request_id)
    }
}

impl Executed {
    /// Execution began and came to nothing.
    fn failed(error: Error, request_id: &str) -> Self {
        let error = async_graphql::Error::from(error).into_server_error(async_graphql::Pos::default());
        let mut response = Response::from_errors(vec![error]);
        let retry_after = finish(&mut response, true, request_id);
        Self { response, began: true, retry_after, counted: Vec::new() }
    }
}

/// Whether the library came as far as executing. What it refuses before has no path, and every error of a field has
/// one. (The documented way to know is an extension; one extension makes the library box and look up every field.)
fn has_begun(response: &Response) -> bool {
    response.errors.is_empty()
        || response.data != Value::Null
        || response.errors.iter().any(|error| !error.path.is_empty())
}

fn finish(response: &mut Response, began: bool, request_id: &str) -> Option<u64> {
    if response.errors.is_empty() {
        return None;
    }
    if !began {
        // The library walks maps: without this, equal requests would get unequal answers.
        response.errors.sort_by(|one, other| (&one.locations, &one.message).cmp(&(&other.locations, &other.message)));
    }
    response.errors.truncate(MAX_ERRORS);
    let mut retry_after = None;
    for error in &mut response.errors {
        retry_after = retry_after.max(finish_error(error, began, request_id));
    }
    retry_after
}

fn finish_error(error: &mut ServerError, began: bool, request_id: &str) -> Option<u64> {
    let mut retry_after = None;
    match error.source.take() {
        Some(source) => {
            let unknown;
            let fault = if let Some(fault) = source.downcast_ref::<Error>() {
                fault
            } else if let Some(fault) = source.downcast_ref::<DbErr>() {
                unknown = Error::from_db(fault);
                &unknown
            } else {
                unknown = Error::Internal(std::mem::take(&mut error.message));
                &unknown
            };
            if let Some(cause) = fault.cause() {
                log_fault(fault, cause, &error.path, request_id);
                error.message = fault.to_string();
                set_extension(error, "requestId", request_id);
            }
            if let Error::RateLimited(limited) = fault {
                let seconds = retry_after_seconds(&limited.wait);
                set_extension(error, "retryAfter", seconds);
                match limited.what {
                    TooMuch::Action(action, rule) => {
                        set_extension(error, "action", action.name());
                        set_extension(error, "limit", rule.limit);
                        set_extension(error, "periodSeconds", rule.period.as_secs());
                    }
                    TooMuch::OpenStreams(limit) => set_extension(error, "limit", limit),
                    TooMuch::Work => {}
                }
                retry_after = Some(seconds);
            }
            set_extension(error, "code", fault.code());
        }
        None => {
            if error.extensions.as_ref().is_none_or(|extensions| extensions.get("code").is_none()) {
                set_extension(error, "code", code_of_library_error(error, began));
            }
        }
    }
    // The library's place of what has none.
    error.locations.retain(|position| position.line > 0);
    error.message = tidy(std::mem::take(&mut error.message));
    retry_after
}

fn code_of_library_error(error: &ServerError, began: bool) -> &'static str {
    // Slices fail with `Error`; what has no source is an argument or a scalar that could not be read.
    if began || error.message.starts_with("Invalid value for argument") {
        "BAD_USER_INPUT"
    } else {
        "GRAPHQL_VALIDATION_FAILED"
    }
}

/// The one place where our own faults are logged.
fn log_fault(fault: &Error, cause: &str, path: &[PathSegment], request_id: &str) {
    let path = PathDisplay(path);
    match fault {
        Error::Unavailable(_) => tracing::warn!(request_id, %path, cause, "unavailable"),
        _ => tracing::error!(request_id, %path, cause, "internal error"),
    }
}

struct PathDisplay<'a>(&'a [PathSegment]);

impl std::fmt::Display for PathDisplay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (idx, segment) in self.0.iter().enumerate() {
            let dot = if idx == 0 { "" } else { "." };
            match segment {
                PathSegment::Field(name) => write!(f, "{dot}{name}")?,
                PathSegment::Index(number) => write!(f, "{dot}{number}")?,
            }
        }
        Ok(())
    }
}

/// A variable that must have a value has one. The library leaves a missing one to the field that uses it, when others
/// may have been executed already.
fn check_variables(
    document: &CachedDocument,
    operation_name: Option<&str>,
    variables: &Variables,
) -> Result<(), ServerError> {
    let Some(operation) = find_operation(document, operation_name) else { return Ok(()) };
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let name = &definition.name.node;
        let is_missing = match variables.get(name) {
            Some(value) => *value == Value::Null,
            None => definition.default_value.is_none(),
        };
        if is_missing && !definition.var_type.node.nullable {
            let type_name = match &definition.var_type.node.base {
                BaseType::Named(name) => name.as_str(),
                BaseType::List(_) => "list",
            };
            let name = guard::shorten(name);
            let message = format!("The variable ${name} of type {type_name}! needs a value.");
            return Err(coded(message, "BAD_USER_INPUT"));
        }
    }
    Ok(())
}

/// The library overlooks defaults where a variable steers `@skip` or `@include`.
fn fill_in_defaults(document: &CachedDocument, operation_name: Option<&str>, variables: &mut Variables) {
    let Some(operation) = find_operation(document, operation_name) else { return };
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        if let Some(default) = &definition.default_value {
            variables.entry(definition.name.node.clone()).or_insert_with(|| default.node.clone());
        }
    }
}

fn find_operation<'a>(document: &'a CachedDocument, operation_name: Option<&str>) -> Option<&'a OperationDefinition> {
    let mut operations = document.document.operations.iter();
    let (_, operation) = match operation_name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|name| name.as_str() == wanted)),
        None => operations.next(),
    }?;
    Some(&operation.node)
}

fn document_error(error: &DocumentError) -> ServerError {
    let location = match error {
        DocumentError::Syntax { location, .. } => *location,
        DocumentError::Refused(_) => None,
    };
    let mut server_error = ServerError::new(error.to_string(), location);
    set_extension(&mut server_error, "code", error.code());
    server_error
}

/// A request that is no GraphQL request.
pub fn bad_request(message: impl Into<String>) -> ServerError {
    let mut error = coded(message, "BAD_USER_INPUT");
    error.message = tidy(std::mem::take(&mut error.message));
    error
}

/// An error with its `extensions.code`.
pub fn coded(message: impl Into<String>, code: &'static str) -> ServerError {
    let mut error = ServerError::new(message, None);
    set_extension(&mut error, "code", code);
    error
}

fn set_extension(error: &mut ServerError, name: &str, value: impl Into<Value>) {
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set(name, value);
}

/// One line of bounded length: some of the library's messages repeat what the client sent.
fn tidy(message: String) -> String {
    if message.len() <= MAX_MESSAGE && !message.contains(char::is_control) {
        return message;
    }
    let mut tidied: String =
        message.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    if let Some((idx, _)) = tidied.char_indices().nth(MAX_MESSAGE) {
        tidied.truncate(idx);
        tidied.push('…');
    }
    tidied
}

#[cfg(test)]
mod tests {
    use async_graphql::Pos;

    use super::*;
    use crate::rate_limits::{Action, Limited, Rule};

    /// An error as it comes out of a resolver's field.
    fn of_field(error: impl Into<async_graphql::Error>) -> Response {
        let error = error.into().into_server_error(Pos { line: 1, column: 2 });
        Response::from_errors(vec![error.with_path(vec![PathSegment::Field("a".into()), PathSegment::Index(3)])])
    }

    fn finished(mut response: Response) -> (serde_json::Value, Option<u64>) {
        let began = has_begun(&response);
        let retry_after = finish(&mut response, began, "request-1");
        (serde_json::to_value(&response.errors[0]).expect("is JSON"), retry_after)
    }

    #[test]
    fn every_error_has_its_code() {
        for (error, code) in [
            (Error::Unauthenticated("x"), "UNAUTHENTICATED"),
            (Error::NotFound("x"), "NOT_FOUND"),
            (Error::Forbidden("x"), "FORBIDDEN"),
            (Error::bad_input("x"), "BAD_USER_INPUT"),
            (Error::busy(Duration::from_millis(1)), "RATE_LIMITED"),
            (Error::Unavailable("secret cause".into()), "UNAVAILABLE"),
            (Error::internal("secret cause"), "INTERNAL"),
        ] {
            let (error, _) = finished(of_field(error));
            assert_eq!(error["extensions"]["code"], code);
            assert_eq!(error["path"], serde_json::json!(["a", 3]));
        }
    }

    #[test]
    fn our_own_faults_are_masked() {
        for response in [
            of_field(Error::internal("secret cause")),
            of_field(Error::Unavailable("secret cause".into())),
            of_field(DbErr::Custom("secret cause".into())),
            of_field(std::io::Error::other("secret cause")),
        ] {
            let (error, _) = finished(response);
            assert!(!error.to_string().contains("secret cause"), "{error}");
            assert_eq!(error["extensions"]["requestId"], "request-1");
        }
        let (told, _) = finished(of_field(Error::NotFound("No such invite.")));
        assert_eq!(told["message"], "No such invite.");
        assert!(told["extensions"].get("requestId").is_none());
    }

    #[test]
    fn a_limit_says_how_long_to_wait() {
        let (error, retry_after) = finished(of_field(Error::busy(Duration::from_millis(2100))));
        assert_eq!(error["extensions"], serde_json::json!({"code": "RATE_LIMITED", "retryAfter": 3}));
        assert_eq!(retry_after, Some(3));
        let rule = Rule { limit: 60, period: Duration::from_secs(10) };
        let limited = Limited { what: TooMuch::Action(Action::SendMessage, rule), wait: Duration::from_millis(900) };
        let (error, retry_after) = finished(of_field(Error::RateLimited(limited)));
        let expected = serde_json::json!({
            "code": "RATE_LIMITED", "retryAfter": 1, "action": "SEND_MESSAGE", "limit": 60, "periodSeconds": 10,
        });
        assert_eq!(error["extensions"], expected);
        assert_eq!(error["message"], "You send messages too fast. Try again in 1 s.");
        assert_eq!(retry_after, Some(1));
    }

    #[test]
    fn what_the_library_refuses_is_told_apart() {
        let before = |message: &str| Response::from_errors(vec![ServerError::new(message, None)]);
        let (error, _) = finished(before("Unknown field \"a\" on type \"Query\"."));
        assert_eq!(error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
        let (error, _) = finished(before("Invalid value for argument \"a\", expected type \"Int\""));
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT");
        let (error, _) = finished(of_field(async_graphql::Error::new("Failed to parse \"DateTime\"")));
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT");
    }

    #[test]
    fn messages_are_one_line_and_few() {
        assert_eq!(tidy("a\n  b\u{7}c".into()), "a   b c");
        assert_eq!(tidy("é".repeat(1000)).chars().count(), MAX_MESSAGE + 1);
        let mut response = Response::from_errors((0..50).map(|_| ServerError::new("x", None)).collect());
        finish(&mut response, false, "request-1");
        assert_eq!(response.errors.len(), MAX_ERRORS);
    }

    #[test]
    fn only_objects_are_requests() {
        for bad in
            ["", " ", "[]", "[{\"query\":\"{a}\"}]", "[\"{a}\",null,null,null]", "null", "1", "{}", "{\"query\":null}"]
        {
            assert!(GraphqlRequest::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(GraphqlRequest::from_json(b" {\"query\":\"{a}\",\"more\":[1]}").is_ok());
        assert!(GraphqlRequest::from_json(b"{\"query\":\"\xff\"}").is_err());
    }
}
