//! Handing a letter over: to a mail server, or to a directory.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use entity::MailId;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{self, PoolConfig},
};
use secrecy::ExposeSecret;

use super::letters::Letter;
use crate::{config::MailConfig, error::Error};

/// How long a mail server may take to connect, and to answer a command.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of text in one encoded word of a header.
const ENCODED_BYTES: usize = 45;

/// Where letters go.
pub struct Transport {
    from: Mailbox,
    kind: Kind,
}

enum Kind {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    /// For development: a file for each.
    Files(PathBuf),
}

/// Why a letter could not be handed over. The cause names no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub cause: String,
    /// Refused in a way that another try will hardly change.
    pub for_good: bool,
}

impl Trouble {
    pub fn passing(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), for_good: false }
    }

    fn for_good(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), for_good: true }
    }
}

impl Transport {
    pub fn new(config: &MailConfig) -> Result<Self, Error> {
        let kind = match &config.smtp_url {
            None => Kind::Files(config.outbox_dir.clone()),
            Some(url) => {
                let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
                    .map_err(|error| Error::internal(format!("the mail server cannot be used: {error}")))?;
                let pool = PoolConfig::new().max_size(8);
                Kind::Smtp(smtp.timeout(Some(COMMAND_LIMIT)).pool_config(pool).build())
            }
        };
        Ok(Self { from: config.mail_from.clone(), kind })
    }

    /// Says once where mails go.
    pub fn announce(&self) {
        match &self.kind {
            Kind::Smtp(_) => tracing::info!("mails are sent by SMTP"),
            Kind::Files(directory) => {
                tracing::info!(directory = %directory.display(), "KITH_SMTP_URL is not set: mails are written to files");
            }
        }
    }

    pub async fn send(&self, id: MailId, recipient: &str, letter: Letter) -> Result<(), Trouble> {
        let message = self.message(id, recipient, letter)?;
        match &self.kind {
            Kind::Smtp(smtp) => match smtp.send(message).await {
                Ok(_) => Ok(()),
                Err(error) => Err(trouble_of(&error)),
            },
            Kind::Files(directory) => {
                let (directory, name) = (directory.clone(), format!("{}.eml", id.0));
                let written = tokio::task::spawn_blocking(move || write(&directory, &name, &message.formatted())).await;
                let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
                written.map_err(|error| Trouble::passing(format!("the outbox cannot be written: {error}")))
            }
        }
    }

    fn message(&self, id: MailId, recipient: &str, letter: Letter) -> Result<Message, Trouble> {
        let to = address(recipient).ok_or_else(|| Trouble::for_good("no mail server knows such an address"))?;
        let domain = self.from.email.domain();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .raw_header(subject(letter.subject))
            .message_id(Some(format!("<{}@{domain}>", id.0)))
            .multipart(MultiPart::alternative_plain_html(letter.text, letter.html))
            .map_err(|error| Trouble::for_good(format!("it is no mail: {error}")))
    }
}

/// The header of a subject. What looks like an encoded word already (`=?utf-8?q?…?=`) would pass as it is, and be read as
/// something else: then all of it is encoded.
fn subject(text: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Subject");
    if !text.contains("=?") {
        return HeaderValue::new(name, text);
    }
    let mut words: Vec<String> = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        // An encoded word has at most 75 characters, and only whole characters in it.
        let (part, others) = rest.split_at(rest.floor_char_boundary(ENCODED_BYTES));
        words.push(format!("=?utf-8?b?{}?=", BASE64_STANDARD.encode(part)));
        rest = others;
    }
    let encoded = words.join("\r\n ");
    HeaderValue::dangerous_new_pre_encoded(name, text, encoded)
}

/// An address as mail servers know it: its domain in ASCII.
fn address(text: &str) -> Option<Address> {
    let (local, domain) = text.rsplit_once('@')?;
    let url::Host::Domain(domain) = url::Host::parse(domain).ok()? else { return None };
    Address::new(local, domain).ok()
}

/// What a mail server said, without its words: they may repeat the address.
fn trouble_of(error: &smtp::Error) -> Trouble {
    let Some(status) = error.status() else {
        let cause = match error {
            error if error.is_timeout() => "the mail server does not answer in time",
            error if is_about_tls(error) => "the mail server cannot be spoken to by TLS, or not be trusted",
            error if error.is_client() => "the mail server cannot be told of it",
            _ => "the mail server cannot be reached",
        };
        return Trouble::passing(cause);
    };
    let status = u16::from(status);
    Trouble { cause: format!("the mail server answered {status}"), for_good: is_about_the_mail(status) }
}

/// Whether it fails at TLS: a certificate that is not trusted, another protocol, or none where it is demanded. The library
/// has a kind for this and seldom uses it.
fn is_about_tls(error: &smtp::Error) -> bool {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let is_of_handshake = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData)
    };
    error.is_tls()
        || causes.any(|cause| is_of_handshake(cause) || (error.is_client() && cause.to_string().contains("STARTTLS")))
}

/// Whether a refusal is about the recipient or the message. The other refusals for good are about us (530 and 535 ask for
/// credentials, say): for the operator to mend, and no reason to lose mails.
fn is_about_the_mail(status: u16) -> bool {
    matches!(status, 550..=559)
}

/// Writes a file as a whole or not at all, for its owner's eyes: it holds tokens.
fn write(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".{name}.part"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use uuid::Uuid;

    use super::*;

    const ID: MailId = MailId(Uuid::from_u128(1));

    fn letter(subject: &str) -> Letter {
        Letter { subject: subject.into(), text: "Grüße\n".into(), html: "<p>Grüße</p>".into() }
    }

    #[test]
    fn nothing_in_a_letter_becomes_a_header() {
        let transport = Transport::new(&MailConfig::default()).expect("files");
        for subject in
            ["Hi\r\nBcc: eve@example.com", "Hi\nBcc: eve@example.com", "Hi\rBcc: eve@example.com", "Hü\r\nBcc: x"]
        {
            let message = transport.message(ID, "ann@example.com", letter(subject)).expect("a message").formatted();
            let message = String::from_utf8(message).expect("ASCII");
            let head = message.split("\r\n\r\n").next().expect("a head");
            assert!(!head.split(['\r', '\n']).any(|line| line.starts_with("Bcc")), "{head}");
            assert!(head.contains("To: ann@example.com"), "{head}");
        }
        for recipient in [
            "ann@example.com\r\nBcc: eve@example.com",
            "ann@example.com, eve@example.com",
            "",
            "ann",
            "@",
            "a@[127.0.0.1]",
        ] {
            let refused = transport.message(ID, recipient, letter("Hi")).expect_err(recipient);
            assert!(refused.for_good && (recipient.is_empty() || !refused.cause.contains(recipient)));
        }
    }

    #[test]
    fn what_looks_like_an_encoded_word_is_read_as_it_was_written() {
        let transport = Transport::new(&MailConfig::default()).expect("files");
        for subject in [
            "=?utf-8?q?Kith_Security?= invites you",
            "Ä =?utf-8?b?S2l0aA==?= invites you",
            "=?",
            &"=?🦀ä".repeat(40),
            "Ann invites you",
        ] {
            let message = transport.message(ID, "ann@example.com", letter(subject)).expect("a message").formatted();
            let parsed = mail_parser::MessageParser::default().parse(&message).expect("is a mail");
            assert_eq!(parsed.subject(), Some(subject));
            let message = String::from_utf8(message).expect("ASCII");
            assert!(message.lines().all(|line| line.len() <= 78), "{message}");
        }
    }

    #[test]
    fn the_domain_of_an_address_is_in_ascii() {
        assert_eq!(address("jo@BÜCHER.example").expect("an address").to_string(), "jo@xn--bcher-kva.example");
        assert_eq!(address("o'neil+x@Example.com").expect("an address").to_string(), "o'neil+x@example.com");
    }

    #[test]
    fn refusals_of_the_mail_and_of_us_are_told_apart() {
        for (status, for_good) in [(421, false), (450, false), (530, false), (535, false), (550, true), (554, true)] {
            assert_eq!(is_about_the_mail(status), for_good, "{status}");
        }
    }

    #[tokio::test]
    async fn a_file_is_whole_and_private_and_written_twice_it_is_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = MailConfig { outbox_dir: folder.path().join("deep/outbox"), ..MailConfig::default() };
        let transport = Transport::new(&config).expect("files");
        for _ in 0..2 {
            transport.send(ID, "ann@example.com", letter("Hi")).await.expect("is written");
        }
        let files: Vec<PathBuf> =
            fs::read_dir(&config.outbox_dir).expect("is there").map(|entry| entry.expect("a file").path()).collect();
        let [file] = &files[..] else { panic!("{files:?}") };
        assert!(file.extension().is_some_and(|extension| extension == "eml"));
        assert_eq!(fs::metadata(file).expect("is there").permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(file).expect("is read");
        assert!(text.contains("multipart/alternative") && text.contains("Message-ID: <00000000-"), "{text}");
    }
}
