//! The playground at `/`: GraphiQL, from files in the binary and without any foreign host.

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use rust_embed::{Embed, EmbeddedFile};

use super::{ServerState, not_found};

/// What `npm run build` made in `playground/`; empty when nobody ran it.
#[derive(Embed)]
#[folder = "playground/dist"]
struct Files;

/// Says how to build the playground.
const MISSING: &str = include_str!("../../playground/missing.html");

/// What the page may do: its own scripts, the editor's workers and inline styles, and requests and sockets to the
/// server it came from. Nothing of anybody else's, and nobody may frame it.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// Not in production, and not where nothing can be changed: behind a proxy the page comes from the others.
fn is_there(state: &ServerState) -> bool {
    !state.app.config.in_production() && state.app.config.server.role.mutates()
}

/// The page. Not there in production.
pub async fn page(State(state): State<ServerState>) -> Response {
    if !is_there(&state) {
        return not_found().await;
    }
    let body = Files::get("index.html").map_or_else(|| Body::from(MISSING), |file| Body::from(file.data));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A file that the page asks for. Its name has a hash of what is in it, so that browsers may keep it for ever; a
/// compressed twin beside it is sent to who takes gzip.
pub async fn asset(State(state): State<ServerState>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if !is_there(&state) {
        return not_found().await;
    }
    let name = format!("assets/{name}");
    // The twin is not a file of its own: it would be sent without saying that it is compressed.
    let Some(file) = Files::get(&name).filter(|_| !name.ends_with(".gz")) else { return not_found().await };
    let content_type = content_type_of(&file);
    let compressed = if takes_gzip(&headers) { Files::get(&format!("{name}.gz")) } else { None };
    let is_compressed = compressed.is_some();
    let mut response = Response::new(Body::from(compressed.unwrap_or(file).data));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // Workers take their policy from their own script's answer.
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    if is_compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn content_type_of(file: &EmbeddedFile) -> HeaderValue {
    let mime = file.metadata.mimetype();
    let is_text = mime.starts_with("text/") && !mime.contains("charset");
    let content_type = if is_text { format!("{mime}; charset=utf-8") } else { mime.to_owned() };
    HeaderValue::from_str(&content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
            is_gzip && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_goes_to_who_takes_it() {
        for (accepted, expected) in
            [("gzip, deflate, br", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("br", false), ("", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepted.parse().expect("a header"));
            assert_eq!(takes_gzip(&headers), expected, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
