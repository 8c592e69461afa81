//! Access tokens (JWT) and refresh tokens (opaque).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{SessionId, Timestamp, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{clock::random_bytes, error::Error};

const ISSUER: &str = "kith";
const AUDIENCE: &str = "kith-api";
const ALGORITHM: Algorithm = Algorithm::HS256;
/// Names the key in the header, so that a later key can be told apart.
const KEY_ID: &str = "1";
/// Longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 1024;
/// How far the clocks of two processes may be apart: a token issued later than that is from no process of ours.
const CLOCK_LEEWAY_SECONDS: i64 = 60;

/// Makes and checks access tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    life_seconds: u32,
    /// Tokens that verified, by their hash, so that a signature is checked once and not at every request.
    verified: Cache<[u8; 32], AccessToken>,
}

/// What a verified access token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessToken {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    sid: Uuid,
    iat: i64,
    /// We issue none; whoever else has the key may.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
}

impl Tokens {
    pub fn new(secret: &[u8], life_seconds: u32) -> Self {
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are compared with the app's clock, below.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            life_seconds,
            verified: Cache::new(20_000),
        }
    }

    /// Signs a token for a session and says when it dies.
    pub fn sign(&self, user_id: UserId, session_id: SessionId, now: Timestamp) -> Result<(String, Timestamp), Error> {
        let expires_at = Timestamp(now.0 / 1000 * 1000).plus_seconds(self.life_seconds.into());
        let header = Header { kid: Some(KEY_ID.into()), ..Header::new(ALGORITHM) };
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user_id.0,
            sid: session_id.0,
            iat: now.0 / 1000,
            nbf: None,
            exp: expires_at.0 / 1000,
        };
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding).map_err(Error::internal)?;
        Ok((token, expires_at))
    }

    /// Checks signature, algorithm, issuer, audience and times. Whether the session lives is asked elsewhere.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<AccessToken, &'static str> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err("The access token is not valid.");
        }
        let key: [u8; 32] = Sha256::digest(token).into();
        let verified = match self.verified.get(&key) {
            Some(verified) => verified,
            None => {
                let verified = self.verify_signature(token, now).ok_or("The access token is not valid.")?;
                self.verified.insert(key, verified);
                verified
            }
        };
        if verified.expires_at <= now {
            return Err("The access token has expired.");
        }
        Ok(verified)
    }

    /// All that is looked at once: who passed will pass later too, until the token dies.
    fn verify_signature(&self, token: &str, now: Timestamp) -> Option<AccessToken> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?;
        // `crit` names what a reader must understand, and we know no extension.
        if data.header.kid.as_deref() != Some(KEY_ID) || data.header.crit.is_some() {
            return None;
        }
        let now_seconds = now.0 / 1000;
        let is_early = data.claims.nbf.is_some_and(|not_before| not_before > now_seconds);
        if is_early || data.claims.iat > now_seconds + CLOCK_LEEWAY_SECONDS {
            return None;
        }
        let expires_at = Timestamp(data.claims.exp.checked_mul(1000)?);
        Some(AccessToken { user_id: UserId(data.claims.sub), session_id: SessionId(data.claims.sid), expires_at })
    }
}

/// An opaque secret that buys the next access token, once.
pub struct RefreshToken(String);

impl RefreshToken {
    pub fn generate() -> Self {
        Self(format!("kr_{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>())))
    }

    /// A token as a client sent it.
    pub fn received(text: String) -> Self {
        Self(text)
    }

    /// What is stored of it.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(&self.0).to_vec()
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

/// A secret that a link in a mail carries: 128 random bits, good for one use.
pub struct MailToken(String);

impl MailToken {
    /// Longest token that is looked at; ours have 22 bytes.
    const MAX_BYTES: usize = 128;

    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random_bytes::<16>()))
    }

    /// A token as a client sent it; nothing for what is longer than any.
    pub fn received(text: &str) -> Option<Self> {
        // A mail program may have left a space at its end.
        let text = if text.len() > Self::MAX_BYTES { return None } else { text.trim() };
        Some(Self(text.to_owned()))
    }

    /// What is stored of it.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(&self.0).to_vec()
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a-secret-of-at-least-thirty-two-bytes";
    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn tokens() -> Tokens {
        Tokens::new(SECRET, 900)
    }

    fn ids() -> (UserId, SessionId) {
        (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)))
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let (user_id, session_id) = ids();
        let (token, expires_at) = tokens().sign(user_id, session_id, NOW).expect("signs");
        let verified = tokens().verify(&token, NOW).expect("verifies");
        assert_eq!(verified, AccessToken { user_id, session_id, expires_at });
        assert_eq!(expires_at, NOW.plus_seconds(900));
    }

    #[test]
    fn an_old_token_is_refused_also_when_it_is_cached() {
        let (user_id, session_id) = ids();
        let tokens = tokens();
        let (token, expires_at) = tokens.sign(user_id, session_id, NOW).expect("signs");
        assert!(tokens.verify(&token, Timestamp(expires_at.0 - 1)).is_ok());
        assert!(tokens.verify(&token, expires_at).is_err());
    }

    #[test]
    fn forged_tokens_are_refused() {
        let claims = |changes: &[(&str, serde_json::Value)]| {
            let mut claims = serde_json::json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": Uuid::from_u128(1), "sid": Uuid::from_u128(2),
                "iat": NOW.0 / 1000, "exp": NOW.0 / 1000 + 60,
            });
            for (name, value) in changes {
                claims[*name] = value.clone();
            }
            claims
        };
        let header = |algorithm, kid: Option<&str>| Header { kid: kid.map(Into::into), ..Header::new(algorithm) };
        let encode = |header: &Header, claims: &serde_json::Value, secret: &[u8]| {
            jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret)).expect("encodes")
        };
        let good = header(ALGORITHM, Some(KEY_ID));
        let seconds = NOW.0 / 1000;
        for (name, changes) in [
            ("as ours", &[][..]),
            ("from now on", &[("nbf", seconds.into())]),
            ("by a clock that is a minute ahead", &[("iat", (seconds + 60).into())]),
        ] {
            assert!(tokens().verify(&encode(&good, &claims(changes), SECRET), NOW).is_ok(), "{name}");
        }
        let early = (encode(&good, &claims(&[("nbf", (seconds + 1).into())]), SECRET), tokens());
        assert!(early.1.verify(&early.0, NOW).is_err(), "not yet");
        assert!(early.1.verify(&early.0, NOW.plus_seconds(1)).is_ok(), "now, by the same");
        let critical = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            encode(&Header { crit: Some(names), ..good.clone() }, &claims(&[]), SECRET)
        };

        let unsigned = {
            let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.", part(serde_json::json!({"alg": "none", "typ": "JWT", "kid": "1"})), part(claims(&[])))
        };
        for (name, token) in [
            ("no algorithm", unsigned),
            ("another algorithm", encode(&header(Algorithm::HS512, Some(KEY_ID)), &claims(&[]), SECRET)),
            ("another key", encode(&good, &claims(&[]), b"another-secret-of-thirty-two-bytes!!")),
            ("another kid", encode(&header(ALGORITHM, Some("2")), &claims(&[]), SECRET)),
            ("no kid", encode(&header(ALGORITHM, None), &claims(&[]), SECRET)),
            ("another issuer", encode(&good, &claims(&[("iss", "other".into())]), SECRET)),
            ("another audience", encode(&good, &claims(&[("aud", "other".into())]), SECRET)),
            ("no expiry", encode(&good, &claims(&[("exp", serde_json::Value::Null)]), SECRET)),
            ("an absurd expiry", encode(&good, &claims(&[("exp", i64::MAX.into())]), SECRET)),
            ("expired", encode(&good, &claims(&[("exp", (NOW.0 / 1000).into())]), SECRET)),
            ("good from tomorrow on", encode(&good, &claims(&[("nbf", (seconds + 86_400).into())]), SECRET)),
            ("good from no time on", encode(&good, &claims(&[("nbf", "soon".into())]), SECRET)),
            ("issued tomorrow", encode(&good, &claims(&[("iat", (seconds + 86_400).into())]), SECRET)),
            ("with something critical", critical(&["b64"])),
            ("with nothing critical, which is no JWS", critical(&[])),
            ("no session", encode(&good, &claims(&[("sid", serde_json::Value::Null)]), SECRET)),
            ("a refresh token", RefreshToken::generate().into_text()),
            ("nothing", String::new()),
            ("huge", "x".repeat(100_000)),
        ] {
            assert!(tokens().verify(&token, NOW).is_err(), "{name}");
        }
    }
}
