//! A mail server to send to: it takes letters, or refuses, hangs and drops as it is told.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use mail_parser::MessageParser;
use parking_lot::Mutex;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{server::Options, wait::eventually, world::World};

/// How a mail server feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything.
    Well,
    /// Closes every connection.
    Dead,
    /// Accepts connections and says nothing.
    Hanging,
    /// Has no time for any recipient now (451).
    Busy,
    /// Knows no recipient (550).
    Refusing,
    /// Hears a letter to its end, and closes the connection without having taken it.
    Dropping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Plain,
    StartTls,
    Tls,
}

/// A letter as it was taken.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The envelope's recipient.
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub message_id: String,
    /// Names of the headers, in lower case.
    pub headers: BTreeSet<String>,
    pub encrypted: bool,
}

impl Letter {
    pub fn parse(to: &str, raw: &[u8], encrypted: bool) -> Self {
        let message = MessageParser::default().parse(raw).expect("it is a letter");
        assert_eq!((message.text_body_count(), message.html_body_count()), (1, 1), "plain text and HTML");
        Self {
            to: to.to_owned(),
            subject: message.subject().expect("a subject").to_owned(),
            text: message.body_text(0).expect("a text").into_owned(),
            html: message.body_html(0).expect("HTML").into_owned(),
            message_id: message.message_id().expect("an id").to_owned(),
            headers: message.headers().iter().map(|header| header.name().to_lowercase()).collect(),
            encrypted,
        }
    }

    /// The token in its link.
    pub fn token(&self) -> String {
        let (_, rest) = self.text.split_once("?token=").expect("a link with a token");
        let token: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
        assert!(self.html.contains(&format!("?token={token}\"")), "the same link in both parts");
        token
    }
}

/// A mail server on a port of its own.
pub struct MailServer {
    address: SocketAddr,
    security: Security,
    certificate: std::path::PathBuf,
    mood: Arc<watch::Sender<Mood>>,
    letters: Arc<Mutex<Vec<Letter>>>,
    accepting: JoinHandle<()>,
}

impl MailServer {
    /// Without encryption, and offering none.
    pub async fn plain(world: &World) -> Self {
        Self::start(world, Security::Plain).await
    }

    /// Takes nothing before STARTTLS.
    pub async fn starttls(world: &World) -> Self {
        Self::start(world, Security::StartTls).await
    }

    /// TLS from the first byte.
    pub async fn tls(world: &World) -> Self {
        Self::start(world, Security::Tls).await
    }

    async fn start(world: &World, security: Security) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let certificate = world.file("mail-server.pem");
        std::fs::write(&certificate, CERTIFICATE.cert.pem()).expect("the certificate can be written");
        let mood = Arc::new(watch::Sender::new(Mood::Well));
        let letters: Arc<Mutex<Vec<Letter>>> = Arc::default();
        let desk = Desk { security, moods: mood.subscribe(), letters: Arc::clone(&letters) };
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("connections can be accepted");
                let mut desk = desk.clone();
                // A connection does not survive a change of mood.
                tokio::spawn(async move {
                    let mut moods = desk.moods.clone();
                    let mood = *desk.moods.borrow_and_update();
                    moods.borrow_and_update();
                    tokio::select! {
                        _ = desk.serve(client, mood) => {}
                        _ = moods.changed() => {}
                    }
                });
            }
        });
        Self { address, security, certificate, mood, letters, accepting }
    }

    /// What a server needs to send here.
    pub fn options(&self) -> Options {
        self.options_with(match self.security {
            Security::Plain => format!("smtp://{}", self.address),
            Security::StartTls => format!("smtp://{}?tls=required", self.address),
            Security::Tls => format!("smtps://{}", self.address),
        })
    }

    /// The same by a URL that demands STARTTLS, whether or not it is offered.
    pub fn options_demanding_tls(&self) -> Options {
        self.options_with(format!("smtp://{}?tls=required", self.address))
    }

    fn options_with(&self, url: String) -> Options {
        Options::default()
            .set("KITH_SMTP_URL", url)
            .set("KITH_MAIL_FROM", "Kith <kith@app.example>")
            .set("KITH_PUBLIC_URL", "https://app.example/")
            .set("SSL_CERT_FILE", self.certificate.display())
    }

    /// From now on; what is open is closed.
    pub fn feel(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// All that it has taken.
    pub fn letters(&self) -> Vec<Letter> {
        self.letters.lock().clone()
    }

    /// What it has taken for an address.
    pub fn letters_to(&self, address: &str) -> Vec<Letter> {
        self.letters().into_iter().filter(|letter| letter.to == address).collect()
    }

    /// The first letter to an address whose subject begins so.
    pub async fn letter(&self, address: &str, subject: &str) -> Letter {
        self.nth_letter(address, subject, 0).await
    }

    /// The n-th letter to an address whose subject begins so, counted from 0.
    pub async fn nth_letter(&self, address: &str, subject: &str, n: usize) -> Letter {
        eventually(&format!("letter {n} to {address} that begins with {subject:?}"), async || {
            self.letters_to(address).into_iter().filter(|letter| letter.subject.starts_with(subject)).nth(n)
        })
        .await
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

static CERTIFICATE: LazyLock<CertifiedKey<rcgen::KeyPair>> =
    LazyLock::new(|| generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate can be made"));

fn acceptor() -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(CERTIFICATE.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("there are versions")
        .with_no_client_auth()
        .with_single_cert(vec![CERTIFICATE.cert.der().clone()], key)
        .expect("the certificate is good");
    TlsAcceptor::from(Arc::new(config))
}

/// Who talks to one client.
#[derive(Clone)]
struct Desk {
    security: Security,
    moods: watch::Receiver<Mood>,
    letters: Arc<Mutex<Vec<Letter>>>,
}

/// How a conversation ended.
enum End<S> {
    Over,
    /// The client wants to go on encrypted.
    StartTls(S),
}

impl Desk {
    /// Ends where the client leaves or breaks off.
    async fn serve(&self, client: TcpStream, mood: Mood) -> Option<()> {
        match mood {
            Mood::Dead => return None,
            Mood::Hanging => std::future::pending().await,
            Mood::Well | Mood::Busy | Mood::Refusing | Mood::Dropping => {}
        }
        match self.security {
            Security::Tls => {
                let mut client = BufReader::new(acceptor().accept(client).await.ok()?);
                client.write_all(b"220 sink\r\n").await.ok()?;
                self.converse(client, mood, true).await?;
            }
            Security::Plain | Security::StartTls => {
                let mut client = BufReader::new(client);
                client.write_all(b"220 sink\r\n").await.ok()?;
                if let End::StartTls(client) = self.converse(client, mood, false).await? {
                    let client = acceptor().accept(client.into_inner()).await.ok()?;
                    self.converse(BufReader::new(client), mood, true).await?;
                }
            }
        }
        Some(())
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut client: BufReader<S>,
        mood: Mood,
        encrypted: bool,
    ) -> Option<End<BufReader<S>>> {
        let mut recipients: Vec<String> = Vec::new();
        loop {
            let line = read_line(&mut client).await?;
            let line = String::from_utf8(line).ok()?;
            let command = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let must_encrypt = self.security == Security::StartTls && !encrypted;
            let answer = match command.as_str() {
                "EHLO" if must_encrypt => "250-sink\r\n250-8BITMIME\r\n250 STARTTLS",
                "EHLO" => "250-sink\r\n250 8BITMIME",
                "STARTTLS" if must_encrypt => {
                    client.write_all(b"220 go\r\n").await.ok()?;
                    return Some(End::StartTls(client));
                }
                "QUIT" => {
                    client.write_all(b"221 bye\r\n").await.ok()?;
                    return Some(End::Over);
                }
                "MAIL" | "RCPT" | "DATA" if must_encrypt => "530 STARTTLS first",
                "MAIL" => {
                    recipients.clear();
                    "250 ok"
                }
                "RCPT" if mood == Mood::Busy => "451 later",
                "RCPT" if mood == Mood::Refusing => "550 nobody",
                "RCPT" => {
                    let address = line.split(['<', '>']).nth(1)?;
                    recipients.push(address.to_owned());
                    "250 ok"
                }
                "DATA" => {
                    client.write_all(b"354 go on\r\n").await.ok()?;
                    let letter = read_letter(&mut client).await?;
                    if mood == Mood::Dropping {
                        return None;
                    }
                    let taken = recipients.drain(..).map(|to| Letter::parse(&to, &letter, encrypted));
                    self.letters.lock().extend(taken);
                    "250 taken"
                }
                "NOOP" | "RSET" => "250 ok",
                _ => "502 what?",
            };
            client.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        }
    }
}

/// A line without its end; nothing at the end of the connection.
async fn read_line(client: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    client.read_until(b'\n', &mut line).await.ok()?;
    let line = line.strip_suffix(b"\r\n")?;
    Some(line.to_vec())
}

/// A letter up to the line with nothing but a dot.
async fn read_letter(client: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut letter = Vec::new();
    loop {
        let line = read_line(client).await?;
        if line == b"." {
            return Some(letter);
        }
        letter.extend(line.strip_prefix(b".").unwrap_or(&line));
        letter.extend(b"\r\n");
    }
}
