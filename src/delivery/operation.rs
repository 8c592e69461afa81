//! A subscription's execution: roots go in one by one, encoded results come out.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_graphql::Response;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use tokio::sync::mpsc;

use super::feed::{Feed, Root, Source};
use crate::{
    auth::{Caller, RequestContext},
    error::Error,
    graphql::{
        CurrentLoaders,
        engine::{Engine, Prepared},
        guard,
    },
};

/// What is executed, and for whom. Shared by every place that renders it.
pub struct Operation {
    engine: Arc<Engine>,
    /// Shared: the variables of thousands of idle subscriptions are worth counting.
    prepared: Arc<Prepared>,
    context: RequestContext,
}

impl Operation {
    pub fn new(engine: Arc<Engine>, prepared: Prepared, context: RequestContext) -> Self {
        Self { engine, prepared: Arc::new(prepared), context }
    }

    /// The same operation for nobody in particular: what is rendered by it may be shown to everybody who listens. A
    /// field that depends on the viewer would fail here and never leak.
    pub fn for_everybody(&self) -> Self {
        let context = RequestContext { caller: Caller::Anonymous, user_agent: None, ..self.context.clone() };
        Self { engine: Arc::clone(&self.engine), prepared: Arc::clone(&self.prepared), context }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    pub fn context(&self) -> &RequestContext {
        &self.context
    }

    /// Validates the operation and passes the gate of its root field. Answers what it was admitted to, or the errors
    /// to tell.
    pub async fn admit(&self) -> Result<Source, Response> {
        let (feed, admitted) = Feed::to_admit();
        let mut responses = self.start(feed, CurrentLoaders::new(&self.engine.app));
        let refused = async {
            match AssertUnwindSafe(responses.next()).catch_unwind().await {
                Ok(Some(response)) => response,
                // `@skip` and `@include` can leave it out.
                Ok(None) => failed_with(Error::BadUserInput("The subscription selects nothing.".into())),
                Err(_) => failed("a resolver panicked"),
            }
        };
        let mut refused = tokio::select! {
            biased;
            source = admitted => match source {
                Ok(source) => return Ok(source),
                // The gate refused: the response says why.
                Err(_) => refused_after(responses).await,
            },
            response = refused => response,
        };
        self.engine.finish(&mut refused, &self.context);
        Err(refused)
    }

    fn start(&self, feed: Arc<Feed>, loaders: Arc<CurrentLoaders>) -> BoxStream<'static, Response> {
        let mut request =
            self.engine.request(Prepared::clone(&self.prepared), self.context.clone(), loaders).data(feed);
        // The library drops a root field in a fragment without a word.
        let document = guard::inline_root_fragments(
            self.prepared.document.document.clone(),
            self.prepared.operation_name.as_deref(),
        );
        request.set_parsed_query(document);
        self.engine.schema.execute_stream(request)
    }
}

async fn refused_after(mut responses: BoxStream<'static, Response>) -> Response {
    match AssertUnwindSafe(responses.next()).catch_unwind().await {
        Ok(Some(response)) => response,
        Ok(None) => failed("the gate refused without a reason"),
        Err(_) => failed("a resolver panicked"),
    }
}

fn failed(cause: &str) -> Response {
    failed_with(Error::internal(cause))
}

fn failed_with(error: Error) -> Response {
    let error = async_graphql::Error::from(error);
    Response::from_errors(vec![error.into_server_error(async_graphql::Pos::default())])
}

/// Whether there is no result, because of nothing but things that are not found.
fn is_gone(response: &Response) -> bool {
    response.data == async_graphql::Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| has_code(error, "NOT_FOUND"))
}

fn has_code(error: &async_graphql::ServerError, code: &str) -> bool {
    let extensions = error.extensions.as_ref();
    extensions.and_then(|extensions| extensions.get("code")).is_some_and(|it| *it == async_graphql::Value::from(code))
}

/// Between the tries of an event whose rendering needs the database while that is away.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// Renders an operation. Begins to execute with the first event and can rest, so that an idle subscription costs next
/// to nothing.
pub struct Renderer {
    operation: Arc<Operation>,
    running: Option<Running>,
}

struct Running {
    roots: mpsc::Sender<Root>,
    responses: BoxStream<'static, Response>,
    loaders: Arc<CurrentLoaders>,
}

impl Renderer {
    pub fn new(operation: Arc<Operation>) -> Self {
        Self { operation, running: None }
    }

    /// As [`Renderer::render`], for what must not be lost: tried again while the database is away.
    ///
    /// Fails when it stays away: then the listeners have to be cut off, so that they come back and read it in the log.
    pub async fn render_surely(&mut self, root: Root) -> Result<Bytes, Error> {
        for pause in PAUSES {
            if let Some(payload) = self.try_render(root.clone()).await {
                return Ok(payload);
            }
            tokio::time::sleep(pause).await;
        }
        let payload = self.try_render(root).await;
        payload.ok_or_else(|| Error::Unavailable("an event cannot be rendered without the database".into()))
    }

    /// Executes the operation on one root value: the complete result as JSON. A failure is a result too. Empty, where
    /// what is to be told of is not there for the viewer any more (that they are told as something of its own), and
    /// where the database is away.
    pub async fn render(&mut self, root: Root) -> Bytes {
        self.try_render(root).await.unwrap_or_default()
    }

    /// None where the database is away.
    async fn try_render(&mut self, root: Root) -> Option<Bytes> {
        let may_be_gone = root.looks_something_up();
        let mut response = self.execute(root).await.unwrap_or_else(|cause| {
            // Whatever happened to this execution, the next event gets a new one.
            self.running = None;
            failed(cause)
        });
        self.operation.engine.finish(&mut response, &self.operation.context);
        if may_be_gone && is_gone(&response) {
            return Some(Bytes::new());
        }
        if response.errors.iter().any(|error| has_code(error, "UNAVAILABLE")) {
            return None;
        }
        Some(match serde_json::to_vec(&response) {
            Ok(json) => json.into(),
            Err(_) => Bytes::from_static(br#"{"data":null,"errors":[{"message":"Something went wrong on our side.","extensions":{"code":"INTERNAL"}}]}"#),
        })
    }

    async fn execute(&mut self, root: Root) -> Result<Response, &'static str> {
        let operation = &self.operation;
        let running = self.running.get_or_insert_with(|| {
            let (feed, roots) = Feed::admitted();
            let loaders = CurrentLoaders::new(&operation.engine.app);
            Running { roots, responses: operation.start(feed, Arc::clone(&loaders)), loaders }
        });
        running.loaders.renew();
        running.roots.try_send(root).map_err(|_| "the execution does not take its event")?;
        match AssertUnwindSafe(running.responses.next()).catch_unwind().await {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err("the execution ended"),
            Err(_) => Err("a resolver panicked"),
        }
    }

    /// Gives its memory back until the next event.
    pub fn rest(&mut self) {
        self.running = None;
    }
}
