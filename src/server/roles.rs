//! What processes of one role leave to those of another.

use async_graphql::{ServerError, Value, parser::types::OperationType};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    middleware::Next,
    response::Response,
};

use super::ServerState;
use crate::{
    config::Role,
    graphql::{engine::coded, http::plain_refusals},
};

/// In the answer to a request that came to the wrong role: which one answered, so that whoever set up the proxy sees it.
const ROLE_HEADER: &str = "kith-role";

/// Why an operation is not answered here.
pub fn misdirected(role: Role, kind: OperationType) -> Option<ServerError> {
    let is_elsewhere = match kind {
        OperationType::Mutation => !role.mutates(),
        OperationType::Subscription => !role.streams(),
        OperationType::Query => false,
    };
    let message = match kind {
        OperationType::Subscription => NO_STREAMS,
        OperationType::Query | OperationType::Mutation => NO_MUTATIONS,
    };
    is_elsewhere.then(|| refusal(role, message))
}

const NO_STREAMS: &str = "This process has the role api and holds no subscriptions: /graphql/ws and /graphql/stream belong to \
                          a process of the role realtime.";
const NO_MUTATIONS: &str = "This process has the role realtime and changes nothing: send mutations over HTTP to /graphql of a \
                            process of the role api.";

fn refusal(role: Role, message: &str) -> ServerError {
    let mut error = coded(message, "FORBIDDEN");
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("role", Value::from(role.name()));
    error
}

/// The answer to an operation that another role answers: 421, which says that the request came to the wrong server.
pub fn misdirected_response(role: Role, error: ServerError) -> Response {
    let mut response = plain_refusals(StatusCode::MISDIRECTED_REQUEST, &[error]);
    mark(response.headers_mut(), role);
    response
}

fn mark(headers: &mut HeaderMap, role: Role) {
    headers.insert(ROLE_HEADER, HeaderValue::from_static(role.name()));
}

/// Keeps requests for subscriptions, upgrades included, out of a process that has none.
pub async fn only_where_streams_are(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let role = state.app.config.server.role;
    if role.streams() { next.run(request).await } else { misdirected_response(role, refusal(role, NO_STREAMS)) }
}
