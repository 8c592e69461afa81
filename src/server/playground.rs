//! The playground: two pages from files in the binary, without any foreign host.
//!
//! | address | page |
//! | --- | --- |
//! | `/` | the chat |
//! | `/join/CODE` | the chat, showing what an invite link leads into |
//! | `/verify-email`, `/reset-password`, `/invite` | the chat, with the token that a mail gave |
//! | `/explorer` | the explorer: GraphiQL |

use std::str;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rust_embed::{Embed, EmbeddedFile};

use super::{ServerState, not_found};
use crate::clock;

/// What `npm run build` made in `playground/`; empty when nobody ran it.
#[derive(Embed)]
#[folder = "playground/dist"]
struct Files;

/// Says how to build the playground.
const MISSING: &str = include_str!("../../playground/missing.html");

/// Stands in the built pages where a fresh value belongs (`playground/vite.config.ts`).
const NONCE: &str = "KITH-NONCE";

/// Workers take their policy from their own script's answer: they may do what the editor's workers need.
const POLICY_OF_FILES: HeaderValue =
    HeaderValue::from_static("default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self' blob:");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Chat,
    Explorer,
}

impl Page {
    const fn file(self) -> &'static str {
        match self {
            Self::Chat => "index.html",
            Self::Explorer => "explorer.html",
        }
    }

    /// What the page may do: its own scripts and styles, and requests and sockets to the server it came from. Nothing of
    /// anybody else's, nothing inline but what carries this answer's nonce, and nobody may frame it. The explorer's editor
    /// (Monaco) makes style elements without a nonce and workers from blobs, and has its font in its style sheet.
    fn policy(self, nonce: &str) -> String {
        let special = match self {
            Self::Chat => format!("style-src 'self' 'nonce-{nonce}'; font-src 'self'"),
            Self::Explorer => {
                "style-src 'self' 'unsafe-inline'; font-src 'self' data:; worker-src 'self' blob:".to_owned()
            }
        };
        format!(
            "default-src 'none'; script-src 'self'; {special}; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        )
    }
}

pub fn routes() -> Router<ServerState> {
    Router::new()
        .route("/", get(chat))
        .route("/verify-email", get(chat))
        .route("/reset-password", get(chat))
        .route("/invite", get(chat))
        .route("/join/{code}", get(chat_one_level_down))
        .route("/explorer", get(explorer))
        .route("/assets/{*name}", get(asset))
}

async fn chat(State(state): State<ServerState>) -> Response {
    page(&state, Page::Chat, "./").await
}

async fn chat_one_level_down(State(state): State<ServerState>) -> Response {
    page(&state, Page::Chat, "../").await
}

async fn explorer(State(state): State<ServerState>) -> Response {
    page(&state, Page::Explorer, "./").await
}

/// A page whose files are found by way of `root`: all addresses are relative, so that a proxy may put a prefix in front.
async fn page(state: &ServerState, page: Page, root: &str) -> Response {
    if !is_there(state) {
        return not_found().await;
    }
    let nonce = STANDARD.encode(clock::random_bytes::<16>());
    let html = match Files::get(page.file()) {
        Some(file) => filled_in(&file.data, &nonce, root),
        None => MISSING.replace(NONCE, &nonce),
    };
    // The page that says how to build the others has its style inline, as the chat may.
    let policy = page.policy(&nonce).parse().expect("ASCII");
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    // Addresses of pages carry codes and tokens.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

/// The built page with this answer's nonce, and with its addresses beginning at `root`.
fn filled_in(html: &[u8], nonce: &str, root: &str) -> String {
    let html = str::from_utf8(html).expect("Vite writes UTF-8");
    let html = html.replace(NONCE, nonce);
    if root == "./" { html } else { html.replace("\"./", &format!("\"{root}")) }
}

/// Not where it is switched off, and not where nothing can be changed: behind a proxy the pages come from the others.
fn is_there(state: &ServerState) -> bool {
    state.app.config.playground() && state.app.config.server.role.mutates()
}

/// A file that the page asks for. Its name has a hash of what is in it, so that browsers may keep it for ever; a
/// compressed twin beside it is sent to who takes gzip.
async fn asset(State(state): State<ServerState>, Path(name): Path<String>, headers: HeaderMap) -> Response {
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
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY_OF_FILES);
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
    fn a_page_gets_its_nonce_everywhere_and_finds_its_files_from_below() {
        let built = br#"<script nonce="KITH-NONCE" src="./assets/a.js"></script><style nonce="KITH-NONCE">"#;
        let page = filled_in(built, "abc", "../");
        assert_eq!(page, r#"<script nonce="abc" src="../assets/a.js"></script><style nonce="abc">"#);
        assert!(filled_in(built, "abc", "./").contains(r#"src="./assets/a.js""#));
    }

    #[test]
    fn only_the_explorer_may_have_styles_without_a_nonce() {
        assert!(Page::Chat.policy("abc").contains("style-src 'self' 'nonce-abc';"));
        assert!(!Page::Chat.policy("abc").contains("unsafe"));
        assert!(Page::Explorer.policy("abc").contains("script-src 'self';"));
    }

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
