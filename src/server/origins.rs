//! Which web pages may call (CORS).
//!
//! Tokens travel in a header that a page has to write itself, never in cookies, so without a list any page may call: it
//! can do no more than its own server could. With a list, a browser's request from any other page is refused, sockets
//! included.

use axum::http::{HeaderMap, HeaderValue, Method, header, request::Parts};

/// What may be read besides the simple headers.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, retry-after, ratelimit, ratelimit-policy");
/// `*` covers every header but this one.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, accept, x-request-id, *");
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
/// Seconds that a browser may remember a preflight; no browser does so longer than a day.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// What the origin of a request means for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not from a page of another origin, or any may call.
    Anyone,
    /// From a page on the list.
    Listed(HeaderValue),
    /// From a page that is not on the list.
    Foreign,
}

/// Compares the request's `Origin` with the list, as a whole: no prefix, no suffix, no pattern.
pub fn judge(headers: &HeaderMap, allowed: &[String]) -> Verdict {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match origins.next() {
        _ if allowed.is_empty() => Verdict::Anyone,
        None => Verdict::Anyone,
        Some(origin)
            if origins.next().is_none() && allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) =>
        {
            Verdict::Listed(origin.clone())
        }
        Some(_) => Verdict::Foreign,
    }
}

/// Whether a browser asks if it may ask.
pub fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(header::ORIGIN)
        && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Tells the browser who may read the answer.
pub fn grant(verdict: &Verdict, has_list: bool, headers: &mut HeaderMap) {
    if has_list {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    match verdict {
        Verdict::Anyone if has_list => return,
        Verdict::Anyone => headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        Verdict::Listed(origin) => headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
        Verdict::Foreign => return,
    };
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Answers a preflight of a page that may call.
pub fn grant_preflight(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_pages_may_call() {
        let allowed = ["https://app.example".to_owned(), "http://localhost:5173".to_owned()];
        for (origin, expected) in [
            (Some("https://app.example"), true),
            (Some("http://localhost:5173"), true),
            (None, true),
            (Some("http://app.example"), false),
            (Some("https://app.example:8443"), false),
            (Some("https://app.example.evil.test"), false),
            (Some("https://evil-app.example"), false),
            (Some("https://app.example/"), false),
            (Some("HTTPS://APP.EXAMPLE"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("a header"));
            }
            assert_eq!(judge(&headers, &allowed) != Verdict::Foreign, expected, "{origin:?}");
            assert_eq!(judge(&headers, &[]), Verdict::Anyone, "{origin:?}");
        }
    }

    #[test]
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::ORIGIN, HeaderValue::from_static("https://app.example"));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://evil.test"));
        assert_eq!(judge(&headers, &["https://app.example".to_owned()]), Verdict::Foreign);
    }
}
