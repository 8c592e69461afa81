//! Names and descriptions of groups.

use unicode_normalization::UnicodeNormalization;

use crate::users::types::{MAX_MARKS, is_bidi_control, is_padding, is_visible, longest_run_of_marks};

/// What a group is called: 1–100 characters in NFC on one line, at least one of them visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName(String);

impl GroupName {
    pub const MAX_LENGTH: usize = 100;

    /// Reads a name: spaces around it go. The failure is one sentence for the person at the keyboard.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const LENGTH: &str = "The name of a group has 1 to 100 characters.";
        // What is longer need not be normalised.
        if text.len() > 64 * Self::MAX_LENGTH {
            return Err(LENGTH);
        }
        let name: String = text.trim_matches(is_padding).nfc().collect();
        if !(1..=Self::MAX_LENGTH).contains(&name.chars().count()) {
            return Err(LENGTH);
        }
        if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err("The name of a group has no line breaks and no control characters.");
        }
        if name.chars().any(is_bidi_control) {
            return Err("The name of a group has no characters that turn the direction of the text around it.");
        }
        if longest_run_of_marks(&name) > MAX_MARKS {
            return Err("The name of a group has at most 4 combining marks on one letter.");
        }
        if !name.chars().any(is_visible) {
            return Err("The name of a group has a visible character.");
        }
        Ok(Self(name))
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// What a group is about: 1–1000 characters in NFC, no control characters but line breaks and tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    pub const MAX_LENGTH: usize = 1000;

    /// Reads a description; none, when there is nothing but space. The failure is one sentence for the person at the
    /// keyboard.
    pub fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        const LENGTH: &str = "A description has at most 1000 characters.";
        // What is longer need not be normalised.
        if text.len() > 16 * Self::MAX_LENGTH {
            return Err(LENGTH);
        }
        let description: String = text.trim().nfc().collect();
        if description.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err("A description has no control characters.");
        }
        if description.chars().count() > Self::MAX_LENGTH {
            return Err(LENGTH);
        }
        Ok((!description.is_empty()).then_some(Self(description)))
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_visible_line() {
        let name = |text: &str| GroupName::parse(text).map(GroupName::into_string);
        assert_eq!(name("  Chess on Tuesdays "), Ok("Chess on Tuesdays".into()));
        assert_eq!(name("e\u{301}te\u{301}"), Ok("été".into()));
        assert_eq!(name("\u{1F3D4}"), Ok("\u{1F3D4}".into()));
        assert!(name(&"ü".repeat(100)).is_ok());
        for text in ["", " ", "\0", "a\0b", "a\nb", "a\u{2028}b", "\u{200b}", "\u{3164}", "a\u{202e}b", "a\u{7f}"] {
            assert!(name(text).is_err(), "{text:?}");
        }
        assert!(name(&"x".repeat(101)).is_err());
        assert!(name(&"x".repeat(1_000_000)).is_err());
        assert!(name("a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}").is_err());
    }

    #[test]
    fn descriptions_are_trimmed_and_bounded() {
        let description = |text: &str| Description::parse(text).map(|found| found.map(Description::into_string));
        assert_eq!(description(" \n "), Ok(None));
        assert_eq!(description(" We play.\nBring a board. "), Ok(Some("We play.\nBring a board.".into())));
        assert!(description(&"ü".repeat(1000)).is_ok());
        for text in ["a\0b", "a\u{9b}b", &"x".repeat(1001), &"\u{301}".repeat(500_000)] {
            assert!(description(text).is_err(), "{:?}", text.chars().take(5).collect::<String>());
        }
    }
}
