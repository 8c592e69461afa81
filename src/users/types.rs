//! Names, parsed at the border, and how people stand to one another.

use std::fmt;

use async_graphql::Enum;
use entity::{Timestamp, UserId};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::error::Refusal;

/// A username in its canonical form: lower case, 3–32 of `a`–`z`, `0`–`9`, `_` and `.`, ASCII only, so that no two
/// names look alike but for the font. Every such name can be chosen but those of tombstones (ADR 0023).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(String);

impl Username {
    pub const MIN_LENGTH: usize = 3;
    pub const MAX_LENGTH: usize = 32;

    /// Reads a username in any case. The failure is one sentence for the person at the keyboard.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !(Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&text.len()) {
            return Err("A username has 3 to 32 characters.");
        }
        let name = text.to_ascii_lowercase();
        if !name.bytes().all(is_username_byte) {
            return Err("A username is made of the letters a to z, digits, underscores and dots.");
        }
        if name.starts_with(TOMBSTONE) {
            return Err("Names that begin with \"deleted.\" are those of deleted accounts.");
        }
        Ok(Self(name))
    }

    /// As [`Username::parse`], told at a field of the mutation's `input`.
    pub fn parse_field(text: &str, field: &str) -> Result<Self, Refusal> {
        Self::parse(text).map_err(|message| Refusal::invalid(field, message))
    }

    /// What somebody is called who deleted their account: a name that nobody can choose or look up.
    pub fn of_tombstone(user_id: UserId) -> Self {
        // The random end of the id: short, and unique in all likelihood that counts.
        let id = user_id.0.simple().to_string();
        Self(format!("{TOMBSTONE}{}", &id[id.len() - 16..]))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the names of deleted accounts begin with.
const TOMBSTONE: &str = "deleted.";

fn is_username_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.')
}

/// The beginning of a username, for search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsernamePrefix {
    Some(String),
    /// It holds a character that no username has, `%` or `ü` say: nobody's name begins so.
    Impossible,
}

impl UsernamePrefix {
    /// Reads a search text in any case. The failure is one sentence for the developer of the client.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // Nobody needs to count the characters of 10 kB of text.
        if text.is_empty() || text.len() > 4 * Username::MAX_LENGTH || text.chars().count() > Username::MAX_LENGTH {
            return Err("`query` must have 1 to 32 characters.");
        }
        let prefix = text.to_ascii_lowercase();
        Ok(if prefix.bytes().all(is_username_byte) { Self::Some(prefix) } else { Self::Impossible })
    }

    /// The names that begin so, in the order of their bytes: from the first of them up to what no longer belongs.
    pub fn range(&self) -> Option<(String, String)> {
        let Self::Some(prefix) = self else { return None };
        let mut end = prefix.clone();
        let last = end.pop()?;
        // The last character of a username's alphabet is followed by another in ASCII.
        end.push(char::from_u32(u32::from(last) + 1)?);
        Some((prefix.clone(), end))
    }
}

/// The name that is shown: 1–64 characters of any script, in NFC, on one line, visible.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    pub const MAX_LENGTH: usize = 64;

    /// Reads a name: spaces around it go. The failure is one sentence for the person at the keyboard.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const LENGTH: &str = "A display name has 1 to 64 characters.";
        // The longest decomposition of 64 characters is far below this: what is longer need not be normalised.
        if text.len() > 4096 {
            return Err(LENGTH);
        }
        let name: String = text.trim_matches(is_padding).nfc().collect();
        if !(1..=Self::MAX_LENGTH).contains(&name.chars().count()) {
            return Err(LENGTH);
        }
        if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err("A display name has no line breaks and no control characters.");
        }
        if name.chars().any(is_bidi_control) {
            return Err("A display name has no characters that turn the direction of the text around it.");
        }
        if longest_run_of_marks(&name) > MAX_MARKS {
            return Err("A display name has at most 4 combining marks on one letter.");
        }
        if !name.chars().any(is_visible) {
            return Err("A display name has a visible character.");
        }
        Ok(Self(name))
    }

    /// As [`DisplayName::parse`], told at a field of the mutation's `input`.
    pub fn parse_field(text: &str, field: &str) -> Result<Self, Refusal> {
        Self::parse(text).map_err(|message| Refusal::invalid(field, message))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Combining marks that may follow one another. Vietnamese needs two, Hebrew with its points and accents four.
pub(crate) const MAX_MARKS: usize = 4;

/// What means nothing at either end of a name.
pub(crate) fn is_padding(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}')
}

/// Embeddings, overrides and isolates: they reach beyond the name.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

pub(crate) fn longest_run_of_marks(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        if is_combining_mark(c) {
            run += 1;
            longest = longest.max(run);
        } else if is_visible(c) {
            run = 0;
        }
    }
    longest
}

/// Whether a character leaves a trace on the screen by itself.
pub(crate) fn is_visible(c: char) -> bool {
    !(c.is_whitespace() || c.is_control() || is_combining_mark(c) || is_invisible(c))
}

/// Unicode's default-ignorable characters and the letters that are blank.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// How the viewer stands to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
pub enum Relationship {
    /// The viewer themselves.
    #[graphql(name = "SELF")]
    Myself,
    /// Neither friends nor about to be.
    None,
    /// The viewer's friend invite to them is pending.
    InviteSent,
    /// Their friend invite to the viewer is pending.
    InviteReceived,
    /// They are friends: each can write to the other.
    Friend,
    /// The viewer has blocked them. That they have blocked the viewer is never told.
    Blocked,
}

/// What is stored between a viewer and somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The viewer has blocked them.
    pub blocked: bool,
    pub friend: bool,
    /// When the viewer's pending invite to them expires.
    pub invite_sent_until: Option<Timestamp>,
    /// When their pending invite to the viewer, one that the viewer may see, expires.
    pub invite_received_until: Option<Timestamp>,
}

impl Standing {
    pub fn relationship(&self, now: Timestamp) -> Relationship {
        let lives = |until: Option<Timestamp>| until.is_some_and(|until| now < until);
        if self.blocked {
            Relationship::Blocked
        } else if self.friend {
            Relationship::Friend
        } else if lives(self.invite_sent_until) {
            Relationship::InviteSent
        } else if lives(self.invite_received_until) {
            Relationship::InviteReceived
        } else {
            Relationship::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_tie_names_the_relationship() {
        let now = Timestamp(1000);
        let (lives, expired) = (Some(Timestamp(1001)), Some(Timestamp(1000)));
        let none = Standing::default();
        for (standing, relationship) in [
            (none, Relationship::None),
            (Standing { invite_sent_until: lives, ..none }, Relationship::InviteSent),
            (Standing { invite_sent_until: expired, ..none }, Relationship::None),
            (Standing { invite_received_until: lives, ..none }, Relationship::InviteReceived),
            (Standing { invite_received_until: expired, ..none }, Relationship::None),
            (Standing { friend: true, ..none }, Relationship::Friend),
            (Standing { blocked: true, ..none }, Relationship::Blocked),
            (Standing { blocked: true, invite_received_until: lives, ..none }, Relationship::Blocked),
        ] {
            assert_eq!(standing.relationship(now), relationship, "{standing:?}");
        }
    }

    #[test]
    fn a_prefix_is_a_range_of_names() {
        for (prefix, name, within) in [
            ("an", "ann", true),
            ("an", "an", true),
            ("an", "ao", false),
            ("an", "am_z", false),
            ("a_", "a_b", true),
            ("a_", "aab", false),
            ("a.", "a.b", true),
            ("a.", "a0b", false),
            ("z", "zz", true),
        ] {
            let (from, to) = UsernamePrefix::parse(prefix).expect("parses").range().expect("is possible");
            assert_eq!(from.as_str() <= name && name < to.as_str(), within, "{prefix} {name}");
        }
        assert_eq!(UsernamePrefix::Impossible.range(), None);
    }

    #[test]
    fn usernames_are_folded() {
        for (text, name) in [("ann", "ann"), ("ANN", "ann"), ("A.b_9", "a.b_9"), ("0x_", "0x_"), ("a__b", "a__b")] {
            assert_eq!(Username::parse(text).expect(text).as_str(), name);
        }
        for text in ["_ann", ".ann", "ann.", "a..b", "...", "___", "007", "admin", "kith", "support", "null", "deleted"]
        {
            assert_eq!(Username::parse(text).expect(text).as_str(), text);
        }
        assert!(Username::parse(&"x".repeat(32)).is_ok());
    }

    #[test]
    fn nobody_chooses_the_name_of_a_tombstone() {
        let id = UserId(uuid::Uuid::from_u128(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881));
        let name = Username::of_tombstone(id);
        assert_eq!(name.as_str(), "deleted.bc3bbd1eef28d881");
        for text in [name.as_str(), "Deleted.bc3bbd1eef28d881", "deleted.me", "DELETED.x"] {
            assert_eq!(
                Username::parse(text),
                Err(r#"Names that begin with "deleted." are those of deleted accounts."#),
                "{text}"
            );
        }
        for text in ["deleted", "deleted_me", "deletedx.me", ".deleted.x"] {
            assert!(Username::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn usernames_have_a_form() {
        let long = "x".repeat(33);
        let huge = "x".repeat(1_000_000);
        for text in [
            "",
            "ab",
            &long,
            &huge,
            "an n",
            " ann",
            "ann\0",
            "ann\n",
            "ann%",
            "an-n",
            "änn",
            "\u{212A}ith",
            "аnn",
            "ann\u{200B}",
        ] {
            assert!(Username::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_search_text_is_a_prefix_or_matches_nothing() {
        let some = |text: &str| Ok(UsernamePrefix::Some(text.into()));
        assert_eq!(UsernamePrefix::parse("A"), some("a"));
        assert_eq!(UsernamePrefix::parse("_."), some("_."), "no wildcard");
        for text in ["%", "a%", "\\", "a b", "ü", "\0", "*"] {
            assert_eq!(UsernamePrefix::parse(text), Ok(UsernamePrefix::Impossible), "{text:?}");
        }
        for text in ["", &"a".repeat(33), &"ü".repeat(33), &"a".repeat(10_000)] {
            assert!(UsernamePrefix::parse(text).is_err());
        }
    }

    #[test]
    fn display_names_are_trimmed_and_composed() {
        for (text, name) in [
            ("Ann", "Ann"),
            ("  Ann \u{200B}", "Ann"),
            ("A\u{308}nn", "Änn"),
            ("李 小龍", "李 小龍"),
            ("❤\u{FE0F}", "❤\u{FE0F}"),
            ("👩\u{200D}🚀", "👩\u{200D}🚀"),
            ("<script>", "<script>"),
            ("می\u{200C}خواهم", "می\u{200C}خواهم"),
        ] {
            assert_eq!(DisplayName::parse(text).expect(text).as_str(), name);
        }
        assert!(DisplayName::parse(&"e\u{301}".repeat(64)).is_ok(), "64 characters once composed");
        assert!(DisplayName::parse(&"ü".repeat(64)).is_ok());
    }

    #[test]
    fn display_names_neither_hide_nor_spill() {
        let marks = format!("a{}", "\u{336}".repeat(5));
        let hidden_marks = format!("a{}", "\u{336}\u{200B}".repeat(5));
        for text in [
            "",
            "  ",
            "\u{200B}\u{200D}",
            "\u{3164}",
            "\u{2800}",
            "\u{301}",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a\u{85}b",
            "a\u{2028}b",
            "\u{202E}nna",
            "a\u{2066}b",
            &marks,
            &hidden_marks,
            &"x".repeat(65),
            &"\u{301}".repeat(500_000),
        ] {
            assert!(DisplayName::parse(text).is_err(), "{:?}", text.chars().take(10).collect::<String>());
        }
    }
}
