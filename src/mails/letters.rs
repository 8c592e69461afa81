//! What mails say: plain text and HTML from the same facts. The HTML is escaped by the templates.

use askama::Template;
use entity::Timestamp;

use crate::{
    accounts::recovery::{RESET_SECONDS, VERIFY_SECONDS},
    config::MailConfig,
    error::Error,
};

/// A letter without an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// What the mail of an invite tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The display name of who invites.
    pub inviter: String,
    pub username: String,
    /// The group's name.
    pub group: Option<String>,
    pub note: Option<String>,
    pub expires_at: Timestamp,
}

macro_rules! letter {
    ($name:ident { $($field:ident: $type:ty),* }, $html:literal, $text:literal) => {
        mod $name {
            use askama::Template;

            #[derive(Template)]
            #[template(path = $html, config = "src/mails/askama.toml")]
            pub struct Html<'a> { $(pub $field: $type),* }

            #[derive(Template)]
            #[template(path = $text, config = "src/mails/askama.toml")]
            pub struct Text<'a> { $(pub $field: $type),* }
        }
    };
}

letter!(verify_email { username: &'a str, link: &'a str, hours: i64 }, "verify_email.html", "verify_email.txt");
letter!(password_reset { username: &'a str, link: &'a str, minutes: i64 }, "password_reset.html", "password_reset.txt");
letter!(password_changed { username: &'a str }, "password_changed.html", "password_changed.txt");
letter!(
    invite {
        inviter: &'a str,
        username: &'a str,
        group: Option<&'a str>,
        note: &'a [&'a str],
        link: &'a str,
        until: &'a str
    },
    "invite.html",
    "invite.txt"
);

pub fn verify_email(config: &MailConfig, username: &str, token: &str) -> Result<Letter, Error> {
    let (link, hours) = (link(config, "verify-email", token), VERIFY_SECONDS / 3600);
    let link = &link;
    Letter::of(
        "Confirm your email address",
        &verify_email::Text { username, link, hours },
        &verify_email::Html { username, link, hours },
    )
}

pub fn password_reset(config: &MailConfig, username: &str, token: &str) -> Result<Letter, Error> {
    let (link, minutes) = (link(config, "reset-password", token), RESET_SECONDS / 60);
    let link = &link;
    Letter::of(
        "Choose a new password",
        &password_reset::Text { username, link, minutes },
        &password_reset::Html { username, link, minutes },
    )
}

pub fn password_changed(username: &str) -> Result<Letter, Error> {
    Letter::of("Your password was changed", &password_changed::Text { username }, &password_changed::Html { username })
}

pub fn invite(config: &MailConfig, invitation: &Invitation, token: &str) -> Result<Letter, Error> {
    let link = &link(config, "invite", token);
    let until = &chrono::DateTime::from_timestamp_millis(invitation.expires_at.0)
        .map_or_else(String::new, |until| until.format("%-d %B %Y").to_string());
    let (inviter, username, group) = (&*invitation.inviter, &*invitation.username, invitation.group.as_deref());
    // However its lines end: a lone CR would let words pass for ours in plain text.
    let note = invitation.note.as_ref().map(|note| note.replace("\r\n", "\n"));
    let note: Vec<&str> = note.as_deref().map_or_else(Vec::new, |note| note.split(['\n', '\r']).collect());
    let note: &[&str] = &note;
    Letter::of(
        &format!("{inviter} invites you"),
        &invite::Text { inviter, username, group, note, link, until },
        &invite::Html { inviter, username, group, note, link, until },
    )
}

impl Letter {
    fn of(subject: &str, text: &impl Template, html: &impl Template) -> Result<Self, Error> {
        let text = text.render().map_err(Error::internal)?;
        let html = html.render().map_err(Error::internal)?;
        // Names have no line breaks. Were one to come by another road, it would still not end a header.
        let subject = subject.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
        Ok(Self { subject: subject.collect::<Vec<_>>().join(" "), text, html })
    }
}

/// Where a link of a mail leads. Tokens are made of characters that need no escape in a URL.
fn link(config: &MailConfig, page: &str, token: &str) -> String {
    format!("{}/{page}?token={token}", config.public_url.as_str().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            inviter: "Ann <b>of</b> Cleves & \"Co\"".into(),
            username: "ann".into(),
            group: Some("<script>alert(1)</script>".into()),
            note: Some("It's me!\r\n<a href=\"https://bad.example\">Click</a>\n\nBye".into()),
            expires_at: Timestamp(1_700_000_000_000),
        }
    }

    #[test]
    fn what_people_write_is_escaped_in_html_and_quoted_in_text() {
        let letter = invite(&MailConfig::default(), &invitation(), "tok_en-1").expect("is written");
        assert_eq!(letter.subject, "Ann <b>of</b> Cleves & \"Co\" invites you");
        for bad in ["<script>", "<b>of", "<a href=\"https://bad"] {
            assert!(!letter.html.contains(bad), "{bad}: {}", letter.html);
        }
        assert!(letter.html.contains("&#60;script&#62;alert(1)"), "{}", letter.html);
        assert!(letter.html.contains("href=\"http://localhost:8000/invite?token=tok_en-1\""), "{}", letter.html);
        assert!(letter.text.contains("\nhttp://localhost:8000/invite?token=tok_en-1\n"), "{}", letter.text);
        let quoted = "\n> It's me!\n> <a href=\"https://bad.example\">Click</a>\n> \n> Bye\n";
        assert!(letter.text.contains(quoted), "{}", letter.text);
        assert!(letter.text.contains("until 14 November 2023"), "{}", letter.text);
        assert!(!letter.text.contains('\r'));
    }

    #[test]
    fn every_letter_says_whom_it_is_about_and_where_to_go() {
        let config =
            MailConfig { public_url: "https://app.example/kith/".parse().expect("a URL"), ..Default::default() };
        for (letter, page) in [
            (verify_email(&config, "ann", "tok"), Some("verify-email")),
            (password_reset(&config, "ann", "tok"), Some("reset-password")),
            (password_changed("ann"), None),
            (invite(&config, &Invitation { note: None, group: None, ..invitation() }, "tok"), Some("invite")),
        ] {
            let letter = letter.expect("is written");
            assert!(letter.text.contains("@ann") && letter.html.contains("@ann"), "{letter:?}");
            assert!(!letter.subject.is_empty());
            if let Some(page) = page {
                let link = format!("https://app.example/kith/{page}?token=tok");
                assert!(letter.text.contains(&link) && letter.html.contains(&link), "{letter:?}");
            }
        }
    }

    #[test]
    fn a_line_break_in_a_name_ends_no_header() {
        let hostile = Invitation { inviter: "Ann\r\nBcc: eve@example.com\r\n\r\nHi".into(), ..invitation() };
        let letter = invite(&MailConfig::default(), &hostile, "tok").expect("is written");
        assert_eq!(letter.subject, "Ann Bcc: eve@example.com Hi invites you");
    }
}
