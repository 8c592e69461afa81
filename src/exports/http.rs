//! Fetching an export by its signed address.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use bytes::Bytes;
use entity::{
    DataExportId,
    data_export::{self, Status},
};
use futures_util::{Stream, stream};

use super::store;
use crate::{
    app::App,
    db::Db,
    error::Error,
    graphql::http::plain_refusal,
    server::{ServerState, not_found},
};

/// `GET /exports/<id>?expires=…&signature=…`: the archive, part by part. Needs no token: the address is the right. A
/// wrong address, one that is too old, and one of an export that is not there any more are answered as any address at
/// which there is nothing.
pub async fn handler(State(state): State<ServerState>, uri: Uri) -> Response {
    let app = &state.app;
    let export = match find(app, &uri).await {
        Ok(Some(export)) => export,
        Ok(None) => return not_found().await,
        Err(error) => {
            tracing::warn!(cause = error.cause(), "an export cannot be read now");
            let message = "The service is unavailable for a moment. Try again.";
            return plain_refusal(StatusCode::SERVICE_UNAVAILABLE, message, "UNAVAILABLE");
        }
    };
    let mut response = Response::new(Body::from_stream(parts(app.db.clone(), export.id, export.n_bytes)));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"kith-export.json\""),
        (header::CACHE_CONTROL, "no-store"),
        // The address is a secret: it goes nowhere from here.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // So that who gets half of it notices.
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(export.n_bytes));
    response
}

struct Found {
    id: DataExportId,
    n_bytes: u64,
}

async fn find(app: &App, uri: &Uri) -> Result<Option<Found>, Error> {
    let now = app.clock.now();
    let Some(id) = app.exports.links.verify(uri.path(), uri.query().unwrap_or_default(), now) else { return Ok(None) };
    let row: Option<data_export::Model> = store::find(app.db.read(), id).await?;
    let is_there = |row: &data_export::Model| {
        row.status == Status::Ready && row.expires_at.is_some_and(|expires_at| now < expires_at)
    };
    let size = row.filter(is_there).and_then(|row| row.n_bytes);
    Ok(size.and_then(|n_bytes| u64::try_from(n_bytes).ok()).map(|n_bytes| Found { id, n_bytes }))
}

/// The parts in order, one in memory at a time. It fails, and the connection ends, when the export is deleted
/// meanwhile.
fn parts(db: Db, id: DataExportId, n_bytes: u64) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold((0, n_bytes), move |(n, left)| {
        let db = db.clone();
        async move {
            if left == 0 {
                return Ok(None);
            }
            let data = store::part(&db, id, n).await?.ok_or_else(|| Error::internal("the export was deleted"))?;
            let left = left.checked_sub(data.len() as u64).ok_or_else(|| Error::internal("the export is too long"))?;
            Ok(Some((Bytes::from(data), (n + 1, left))))
        }
    })
}
