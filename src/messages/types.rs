//! What a message may say.

use crate::error::Refusal;

/// Longest body, in Unicode characters; `server.limits.maxMessageLength`.
pub const MAX_BODY_CHARACTERS: usize = 4000;
/// Longest idempotency key, in characters.
pub const MAX_KEY_CHARACTERS: usize = 128;

/// A body that may be stored: not blank, not too long, text and nothing else. Kept exactly as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageBody(String);

impl MessageBody {
    pub fn parse(text: String) -> Result<Self, Refusal> {
        let refuse = |message: String| Err(Refusal::invalid("body", message));
        // Bytes first: a huge text is not walked.
        if text.len() > MAX_BODY_CHARACTERS * 4 || text.chars().count() > MAX_BODY_CHARACTERS {
            return refuse(format!("A message has at most {MAX_BODY_CHARACTERS} characters."));
        }
        if text.chars().all(|character| character.is_whitespace() || is_invisible(character)) {
            return refuse("Write something.".into());
        }
        if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t')) {
            return refuse("A message cannot have control characters other than line breaks and tabs.".into());
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// Characters without width that alone say nothing.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}')
}

/// Most different emoji at one message.
pub const MAX_EMOJI: usize = 20;

/// One emoji, in the one form that Unicode calls fully qualified: `❤` and `❤️` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emoji(&'static str);

impl Emoji {
    /// Exactly one emoji of Unicode's list: with a skin tone, of several people, a flag, a keycap. Not text, not two, not
    /// a part of one.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        emojis::get(text)
            .map(|emoji| Self(emoji.as_str()))
            .ok_or_else(|| Refusal::invalid("emoji", "A reaction is exactly one emoji."))
    }

    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// A client's name for one send, the same for each retry of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn parse(text: String) -> Result<Self, Refusal> {
        let n_characters = text.chars().take(MAX_KEY_CHARACTERS + 1).count();
        if n_characters == 0 || n_characters > MAX_KEY_CHARACTERS || text.chars().any(char::is_control) {
            let message =
                format!("An idempotency key has 1 to {MAX_KEY_CHARACTERS} printable characters, e.g. a UUID.");
            return Err(Refusal::invalid("idempotencyKey", message));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_as_it_was_written() {
        for text in [
            "hi",
            " hi ",
            "line\nline\ttab\r\n",
            "👩‍👩‍👧‍👦",
            "e\u{301}",
            "مرحبا",
            "\u{202e}x",
            &"x".repeat(4000),
            &"🦀".repeat(4000),
        ] {
            assert_eq!(MessageBody::parse(text.into()).expect("accepted").as_str(), text);
        }
    }

    #[test]
    fn what_says_nothing_or_too_much_is_refused() {
        for text in [
            "",
            " ",
            "\n\t",
            "\u{200b}",
            "\u{200b} \u{feff}",
            "a\0b",
            "\u{7f}",
            "\u{1b}[31m",
            &"x".repeat(4001),
            &"x".repeat(10_000_000),
        ] {
            let refusal = MessageBody::parse(text.into()).expect_err("refused");
            assert_eq!(refusal.field, Some(vec!["input".into(), "body".into()]));
        }
    }

    #[test]
    fn one_emoji_is_a_reaction() {
        for text in ["👍", "👍🏽", "❤️", "😀", "👨‍👩‍👧‍👦", "🧑🏻‍❤️‍🧑🏿", "🏳️‍🌈", "🇩🇪", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "1️⃣", "#️⃣", "☠️", "🫠"]
        {
            assert_eq!(Emoji::parse(text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn an_emoji_has_one_form() {
        for (text, qualified) in
            [("❤", "❤️"), ("☠", "☠️"), ("1\u{20e3}", "1️⃣"), ("🏳‍🌈", "🏳️‍🌈"), ("👁‍🗨", "👁️‍🗨️"), ("🕵🏽‍♂", "🕵🏽‍♂️")]
        {
            assert_eq!(Emoji::parse(text).expect(text).as_str(), qualified);
        }
    }

    #[test]
    fn what_is_not_one_emoji_is_refused() {
        for text in [
            "",
            " ",
            "a",
            "1",
            "#",
            ":)",
            ":heart:",
            "heart",
            "👍👍",
            "👍 ",
            " 👍",
            "👍a",
            "\u{fe0f}",
            "\u{200d}",
            "🇩",
            "🇩🇪🇫",
            "👍\0",
            "\0",
            "é",
            "👩‍",
            "😀\u{fe0f}\u{fe0f}",
            &"👍".repeat(10_000),
        ] {
            assert!(Emoji::parse(text).is_err(), "{text:.40?}");
        }
    }

    #[test]
    fn keys_have_a_length_and_a_form() {
        assert!(IdempotencyKey::parse("k".repeat(128)).is_ok());
        for text in ["", "a\0", "a\nb", &"k".repeat(129)] {
            assert!(IdempotencyKey::parse(text.into()).is_err(), "{text:?}");
        }
    }
}
