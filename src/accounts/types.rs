//! Addresses, numbers and passwords, parsed at the border.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, LazyLock},
};

use email_address::{EmailAddress, Options};
use unicode_normalization::UnicodeNormalization;

use crate::{auth::RequestContext, users::types::Username};

/// An email address: `name@domain`, nothing quoted, no display name. It goes into mail headers, so that line breaks
/// and brackets have no place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    text: String,
    folded: String,
}

impl Email {
    pub const MAX_BYTES: usize = 254;

    /// Reads an address; spaces around it go. The failure is one sentence for the person at the keyboard.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "An email address has the form name@example.com.";
        const TOO_LONG: &str = "An email address has at most 254 characters.";
        // Nobody needs to normalise a megabyte.
        if text.len() > 4 * Self::MAX_BYTES {
            return Err(TOO_LONG);
        }
        let text: String = text.trim().nfc().collect();
        let folded = fold_email(&text);
        if text.len() > Self::MAX_BYTES || folded.len() > Self::MAX_BYTES {
            return Err(TOO_LONG);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '"' | '<' | '>')) {
            return Err(FORM);
        }
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        EmailAddress::parse_with_options(&text, options).map_err(|_| FORM)?;
        Ok(Self { text, folded })
    }

    /// As its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it is looked up by.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

/// In theory `Ann@example.com` and `ann@example.com` are two mailboxes; in practice they are one.
fn fold_email(text: &str) -> String {
    text.to_lowercase()
}

/// What somebody signs in by: a username or an email address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identifier {
    Username(Username),
    /// Folded.
    Email(String),
}

impl Identifier {
    /// `None` for what no account can have.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            Email::parse(text).ok().map(|email| Self::Email(email.folded))
        } else if text.len() > 4 * Username::MAX_LENGTH {
            None
        } else {
            Username::parse(text.trim()).ok().map(Self::Username)
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Username(username) => username.as_str(),
            Self::Email(folded) => folded,
        }
    }
}

/// A telephone number in E.164, e.g. `+4930123456`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone(String);

impl Phone {
    /// Reads a number that starts with `+` and its country's code; spaces, dots, dashes, slashes and brackets go. The
    /// failure is one sentence for the person at the keyboard.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "A phone number starts with + and the country's code, e.g. +49 30 123456.";
        if text.len() > 64 {
            return Err(FORM);
        }
        let digits = text.trim().strip_prefix('+').ok_or(FORM)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit() || b" .-/()".contains(&byte)) {
            return Err(FORM);
        }
        let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
        if !(2..=15).contains(&digits.len()) {
            return Err(FORM);
        }
        let number = phonenumber::parse(None, format!("+{digits}")).map_err(|_| FORM)?;
        if !number.is_valid() {
            return Err("There is no such phone number.");
        }
        Ok(Self(number.format().mode(phonenumber::Mode::E164).to_string()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// A password in NFC, so that one keyboard's `ü` is another's. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub const MIN_CHARACTERS: usize = 10;
    pub const MAX_CHARACTERS: usize = 128;
    pub const MAX_BYTES: usize = 512;

    /// Reads a password that somebody chooses. The failure is one sentence for the person at the keyboard.
    pub fn choose(text: &str) -> Result<Self, &'static str> {
        const SHORT: &str = "A password has at least 10 characters.";
        const LONG: &str = "A password has at most 128 characters.";
        let password = Self::received(text).ok_or(LONG)?;
        match password.0.chars().count() {
            ..Self::MIN_CHARACTERS => return Err(SHORT),
            Self::MIN_CHARACTERS..=Self::MAX_CHARACTERS => {}
            _ => return Err(LONG),
        }
        if COMMON.contains(password.0.to_lowercase().as_str()) {
            return Err("This password is one of the most common ones. Choose another.");
        }
        Ok(password)
    }

    /// Reads a password that somebody signs in with. `None`: longer than any password is, and not worth hashing.
    pub fn received(text: &str) -> Option<Self> {
        // As it may have been typed: a composed character can come in several parts.
        if text.len() > 4 * Self::MAX_BYTES {
            return None;
        }
        let text: String = text.nfc().collect();
        (text.len() <= Self::MAX_BYTES).then_some(Self(text))
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// The most common passwords that are long enough, folded.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("common_passwords.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
});

/// How a device names itself, for the list of sessions: at most 256 characters.
pub fn user_agent(request: &RequestContext) -> Option<String> {
    let agent: Arc<str> = request.user_agent.clone()?;
    let agent: String = agent.chars().filter(|c| !c.is_control()).take(256).collect();
    (!agent.trim().is_empty()).then_some(agent)
}

/// An optional text where clients send an empty one for none.
pub fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::auth::Caller;

    fn shown(text: &str) -> String {
        text.chars().take(40).collect()
    }

    /// What every text input must survive.
    fn hostile() -> Vec<String> {
        vec![
            String::new(),
            " ".into(),
            "\0".into(),
            "\u{301}".into(),
            "\u{202e}".into(),
            "x".repeat(1_000_000),
            "\u{301}".repeat(500_000),
            "🦀".repeat(250_000),
            "\0".repeat(1_000_000),
            "@".repeat(300),
            "+".repeat(300),
        ]
    }

    #[test]
    fn emails() {
        let accepted = [
            ("ann@example.com", "ann@example.com", "ann@example.com"),
            (" Ann@Example.COM\n", "Ann@Example.COM", "ann@example.com"),
            ("ann+kith@mail.example.co.uk", "ann+kith@mail.example.co.uk", "ann+kith@mail.example.co.uk"),
            ("O'Neil@example.com", "O'Neil@example.com", "o'neil@example.com"),
            ("Jo\u{308}rg@BÜCHER.example", "Jörg@BÜCHER.example", "jörg@bücher.example"),
        ];
        for (text, kept, folded) in accepted {
            let email = Email::parse(text).expect(text);
            assert_eq!((email.as_str(), email.folded()), (kept, folded));
        }
        let long = format!("{}@example.com", "x".repeat(243));
        let refused = [
            "ann",
            "ann@",
            "@example.com",
            "ann@localhost",
            "ann@@example.com",
            "ann@example..com",
            "ann.@example.com",
            "ann@[127.0.0.1]",
            "Ann <ann@example.com>",
            "\"ann\"@example.com",
            "ann@exam ple.com",
            "ann\0@example.com",
            "ann@example.com\0",
            "ann@example.com\r\nBcc: ben@example.com",
            "ann@example.com,ben@example.com",
            &long,
        ];
        for text in refused.into_iter().map(str::to_owned).chain(hostile()) {
            assert!(Email::parse(&text).is_err(), "{:?}", shown(&text));
        }
    }

    #[test]
    fn a_folded_address_fits_its_column_too() {
        let text = format!("a@{}.example", "İ".repeat(110));
        if let Ok(email) = Email::parse(&text) {
            assert!(email.folded().len() <= Email::MAX_BYTES);
        }
    }

    #[test]
    fn identifiers() {
        let username = |text| Some(Identifier::Username(Username::parse(text).expect("a username")));
        assert_eq!(Identifier::parse("Ann"), username("ann"));
        assert_eq!(Identifier::parse(" ann "), username("ann"));
        assert_eq!(Identifier::parse("Ann@Example.com"), Some(Identifier::Email("ann@example.com".into())));
        for text in hostile() {
            assert_eq!(Identifier::parse(&text), None, "{:?}", shown(&text));
        }
    }

    #[test]
    fn phones() {
        for (text, number) in [
            ("+4930123456", "+4930123456"),
            (" +49 (30) 12-34.56 ", "+4930123456"),
            ("+1 202 555 0123", "+12025550123"),
            ("+44 20 7946 0958", "+442079460958"),
            ("+390612345678", "+390612345678"),
        ] {
            assert_eq!(Phone::parse(text).expect(text).as_str(), number);
        }
        let refused = [
            "030 123456",
            "0049 30 123456",
            "+",
            "+1",
            "+0123456789",
            "+999123456789",
            "+49",
            "+49301234567890123456789",
            "+49 30 123456 ext. 7",
            "+49 30 123456;ext=7",
            "+1 800 FLOWERS",
            "+٤٩٣٠١٢٣٤٥٦",
            "＋4930123456",
            "++4930123456",
            "tel:+4930123456",
            "+4930123456\0",
            "+;phone-context=",
        ];
        for text in refused.into_iter().map(str::to_owned).chain(hostile()) {
            assert!(Phone::parse(&text).is_err(), "{:?}", shown(&text));
        }
    }

    proptest! {
        #[test]
        fn no_digits_make_the_phone_parser_fail(text in "\\+[0-9 ()./-]{0,40}") {
            if let Ok(phone) = Phone::parse(&text) {
                prop_assert!(phone.as_str().starts_with('+') && phone.as_str().len() <= 16);
                prop_assert_eq!(Phone::parse(phone.as_str()), Ok(phone.clone()));
            }
        }

        #[test]
        fn no_text_makes_a_parser_fail(text in "\\PC{0,80}") {
            let _ = (Email::parse(&text), Phone::parse(&text), Identifier::parse(&text));
            let _ = Password::choose(&text);
        }
    }

    #[test]
    fn passwords() {
        let (longest, emoji) = ("pässwörter ".repeat(11) + "1234567", "🦀🐙🐡🦐🦑🐳🐋🐬🐟🐠");
        let (in_parts, four_bytes) = ("e\u{301}".repeat(128), "🦀🐙".repeat(64));
        for text in [
            "correct horse",
            "ten chars!",
            " spaces count ",
            "schlüssel-bund",
            "tab\tand\nline",
            "nul\0in the middle",
            emoji,
            &longest,
            &in_parts,
            &four_bytes,
            &"x".repeat(128),
            // Made of common ones, and not one of them.
            "zxcvzxcvzxcv",
            "password-7319",
            "P@ssw0rd, that's me",
            "letmein letmein",
        ] {
            assert!(Password::choose(text).is_ok(), "{text:?}");
        }
        let (long, characters) = ("abcde-vwxy".repeat(12) + "123456789", "🦀🐙".repeat(65));
        let refused = [
            "ninechars",
            "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
            &long,
            &characters,
            "password123",
            "PassWord123",
            "1234567890",
            "0987654321",
            "qwertyuiop",
            "Qwerty12345",
            "1q2w3e4r5t",
            "1qaz2wsx3edc",
            "passwordpassword",
            "administrator",
        ];
        for text in refused.into_iter().map(str::to_owned).chain(hostile()) {
            assert!(Password::choose(&text).is_err(), "{:?}", shown(&text));
        }
    }

    #[test]
    fn a_password_is_the_same_however_it_was_typed() {
        let one = Password::choose("schlu\u{308}ssel-bund").expect("a password");
        let other = Password::received("schlüssel-bund").expect("a password");
        assert!(one == other);
        assert_eq!(format!("{one:?}"), "Password(…)");
        assert!(Password::received(&"x".repeat(513)).is_none());
        assert!(Password::received("").is_some(), "hashed like any other wrong one");
    }

    #[test]
    fn the_list_of_common_passwords_is_folded() {
        assert!(COMMON.len() > 200);
        for word in COMMON.iter() {
            assert_eq!(word.trim().nfc().collect::<String>().to_lowercase(), **word);
            assert!(word.chars().count() >= Password::MIN_CHARACTERS, "{word}");
        }
    }

    #[test]
    fn user_agents_are_cut() {
        let agent_of = |agent: Option<&str>| {
            user_agent(&RequestContext {
                caller: Caller::Anonymous,
                request_id: "r".into(),
                client_ip: Ipv4Addr::LOCALHOST.into(),
                user_agent: agent.map(Into::into),
            })
        };
        assert_eq!(agent_of(None), None);
        assert_eq!(agent_of(Some(" ")), None);
        assert_eq!(agent_of(Some("Kith\t1.0\0")), Some("Kith1.0".into()));
        assert_eq!(agent_of(Some(&"ü".repeat(1000))), Some("ü".repeat(256)));
    }
}
