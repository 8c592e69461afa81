//! Codes, and how long a link is alive.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{Timestamp, invite_link};
use sha2::{Digest, Sha256};

use super::MAX_USES;
use crate::clock::random_bytes;

/// Bytes of a code.
const LENGTH: usize = 16;

/// What a holder of a link has: 128 random bits, on the wire as base64url without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; LENGTH]);

impl Code {
    /// A new one.
    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// Reads the form on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        let n = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (n == LENGTH).then_some(Self(bytes))
    }

    /// The form on the wire.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What is stored instead of it.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }
}

/// A secret is not printed.
impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Whether a link of a group that is not deleted can be used.
pub fn is_alive(link: &invite_link::Model, now: Timestamp) -> bool {
    link.revoked_at.is_none()
        && link.expires_at.is_none_or(|expires_at| expires_at > now)
        && link.max_uses.is_none_or(|max_uses| link.uses < max_uses)
}

/// Checks when a new link is to expire. The failure is one sentence for the person at the keyboard.
pub fn check_expiry(expires_at: Timestamp, now: Timestamp) -> Result<(), &'static str> {
    // The year 10000 has no form in RFC 3339.
    const END_OF_TIME: Timestamp = Timestamp(253_402_300_800_000);
    match expires_at > now && expires_at < END_OF_TIME {
        true => Ok(()),
        false => Err("A link expires in the future."),
    }
}

/// Checks how often a new link is to be used at most.
pub fn check_max_uses(max_uses: i32) -> Result<(), &'static str> {
    match (1..=MAX_USES).contains(&max_uses) {
        true => Ok(()),
        false => Err("A link can be limited to 1 to 10000 uses."),
    }
}

#[cfg(test)]
mod tests {
    use entity::{ConversationId, InviteLinkId, UserId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_code_survives_the_wire_and_nonsense_is_none() {
        let code = Code::random();
        let text = code.encode();
        assert_eq!(text.len(), 22);
        assert_eq!(Code::parse(&text), Some(code.clone()));
        assert_eq!(code.hash(), Code::parse(&text).expect("parses").hash());
        assert_ne!(code, Code::random());
        assert!(!format!("{code:?}").contains(&text));
        let padded = format!("{text}==");
        let longer = format!("{text}AAAA");
        for nonsense in ["", "\0", "🦀", &text[1..], &padded, &longer, &"A".repeat(100_000), " ", "../../etc/passwd"]
        {
            assert_eq!(Code::parse(nonsense), None, "{nonsense:.30?}");
        }
    }

    #[test]
    fn a_link_is_alive_until_the_first_of_its_ends() {
        let now = Timestamp(1_000_000);
        let link = invite_link::Model {
            id: InviteLinkId(Uuid::nil()),
            group_id: ConversationId(Uuid::nil()),
            code_hash: Vec::new(),
            created_by: UserId(Uuid::nil()),
            created_at: Timestamp(0),
            expires_at: None,
            max_uses: None,
            uses: 0,
            revoked_at: None,
        };
        let at = |offset: i64| Some(Timestamp(now.0 + offset));
        for (what, link, alive) in [
            ("without an end", link.clone(), true),
            ("used often", invite_link::Model { uses: 1_000_000, ..link.clone() }, true),
            ("later", invite_link::Model { expires_at: at(1), ..link.clone() }, true),
            ("now", invite_link::Model { expires_at: at(0), ..link.clone() }, false),
            ("before", invite_link::Model { expires_at: at(-1), ..link.clone() }, false),
            ("one left", invite_link::Model { max_uses: Some(3), uses: 2, ..link.clone() }, true),
            ("none left", invite_link::Model { max_uses: Some(3), uses: 3, ..link.clone() }, false),
            ("revoked", invite_link::Model { revoked_at: at(-1), ..link.clone() }, false),
            ("revoked at once", invite_link::Model { revoked_at: at(0), expires_at: at(1), ..link }, false),
        ] {
            assert_eq!(is_alive(&link, now), alive, "{what}");
        }
    }

    #[test]
    fn limits_lie_in_the_future_and_in_reason() {
        let now = Timestamp(1_800_000_000_000);
        for (offset, is_good) in [(1, true), (0, false), (-1, false), (i64::MAX - now.0, false)] {
            assert_eq!(check_expiry(Timestamp(now.0 + offset), now).is_ok(), is_good, "{offset}");
        }
        for (max_uses, is_good) in
            [(1, true), (10_000, true), (0, false), (-1, false), (10_001, false), (i32::MAX, false)]
        {
            assert_eq!(check_max_uses(max_uses).is_ok(), is_good, "{max_uses}");
        }
    }
}
