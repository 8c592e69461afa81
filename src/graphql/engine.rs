//! From a request to an answer, the same for HTTP, WebSocket and server-sent events.

use std::sync::Arc;

use async_graphql::{Request, Response, Variables, parser::types::OperationType};
use serde::Deserialize;

use super::{
    KithSchema,
    documents::{CachedDocument, DocumentCache},
    guard,
    loaders::Loaders,
};
use crate::{app::App, auth::RequestContext};

/// Parses, guards and executes operations.
pub struct Engine {
    pub app: Arc<App>,
    pub schema: KithSchema,
    pub documents: DocumentCache,
    pub limits: guard::Limits,
}

/// What a client sends, on every transport.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphqlRequest {
    pub query: String,
    #[serde(default)]
    pub operation_name: Option<String>,
    #[serde(default)]
    pub variables: Option<Variables>,
    #[serde(default)]
    pub extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// An operation that passed the guard and can be executed.
#[derive(Clone)]
pub struct Prepared {
    pub document: Arc<CachedDocument>,
    pub operation_name: Option<String>,
    pub variables: Variables,
    pub kind: OperationType,
}
