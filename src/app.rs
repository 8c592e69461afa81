//! Everything that a running process shares, made once at the start.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;

use crate::{
    accounts,
    auth::{Passwords, Revocations, Tokens},
    clock::{Clock, random_bytes},
    config::{AuthConfig, Config, DatabaseUrl, Switch},
    db::{Db, Migrations},
    delivery::{Hub, Streams},
    error::Error,
    events::bus::{Bus, LocalBus, redis::RedisBus},
    exports::Exports,
    mails::Mails,
    messages::{Committer, ReactionTurns, SearchIndex},
    presence::Presence,
    rate_limits::RateLimits,
    redis::Redis,
    typing::Typing,
};

/// The one context. Passed first and by reference.
pub struct App {
    /// The settings, checked.
    pub config: Config,
    /// Where everything durable is.
    pub db: Db,
    /// Time and new ids.
    pub clock: Clock,
    /// Signs and checks access tokens.
    pub tokens: Tokens,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// The sessions that ended before their tokens did.
    pub revocations: Arc<Revocations>,
    /// How often who may do what.
    pub rate_limits: RateLimits,
    /// What processes share beside the database, if there is one: nothing durable.
    pub redis: Option<Redis>,
    /// The database's own id, in every cursor.
    pub epoch: Arc<str>,
    /// Carries events to listeners here and in other processes. Only [`crate::events::Transaction`] and the committer
    /// publish on it.
    pub bus: Arc<dyn Bus>,
    /// Who here listens to what.
    pub hub: Arc<Hub>,
    /// How mails leave.
    pub mails: Mails,
    /// Who is there, and who watches.
    pub presence: Arc<Presence>,
    /// Lets through as much typing as may be told.
    pub typing: Typing,
    /// How many subscriptions each session has open here.
    pub streams: Arc<Streams>,
    /// Writes messages in groups.
    pub committer: Committer,
    /// Turns to react to messages.
    pub reaction_turns: ReactionTurns,
    /// Archives of what is people's own.
    pub exports: Exports,
    /// Feeds the index of message search.
    pub search_index: SearchIndex,
}

/// Makes the app out of checked settings. In development the database is brought up to date; in production it must be
/// already.
///
/// Fails with an [`Error`] whose cause is a sentence for the operator.
pub async fn build(config: Config) -> Result<Arc<App>, Error> {
    let db = Db::connect(&config.storage).await.map_err(|error| {
        let cause = error.cause().map_or_else(|| error.to_string(), str::to_owned);
        Error::Unavailable(format!("the database cannot be used: {cause}"))
    })?;
    if !config.in_production() {
        db.migrate().await?;
    }
    let Migrations { n_pending, unknown } = db.migrations().await?;
    if n_pending > 0 {
        return Err(Error::internal(format!(
            "the database lacks {n_pending} of this version's migrations: run `kith migrate` first"
        )));
    }
    if !unknown.is_empty() {
        tracing::warn!(?unknown, "a newer version has migrated the database");
    }
    let secret = match &config.auth.jwt_secret {
        Some(secret) => secret.expose_secret().as_bytes().to_vec(),
        None => development_secret(&config.storage.database_url)?,
    };
    let redis = match config.redis() {
        Some(url) => Some(Redis::open(&url, &config.storage.redis_prefix)?),
        None => None,
    };
    let bus: Arc<dyn Bus> = match &redis {
        Some(redis) => Arc::new(RedisBus::start(redis.clone())?),
        None => Arc::new(LocalBus::default()),
    };
    let clock = Clock;
    let revocations: Arc<Revocations> = Arc::default();
    let epoch: Arc<str> = db.epoch().await?.into();
    let presence = Presence::new(&config, clock.clone(), redis.clone());
    let hub = Hub::start(
        db.clone(),
        clock.clone(),
        Arc::clone(&bus),
        Arc::clone(&revocations),
        Arc::clone(&presence),
        Arc::clone(&epoch),
    )
    .await?;
    let limits_are_on = config.server.rate_limits == Switch::On;
    let app = Arc::new(App {
        tokens: tokens(&config.auth, &secret),
        exports: Exports::new(&secret),
        passwords: Passwords::new()?,
        mails: Mails::new(&config.mail)?,
        revocations,
        typing: Typing::new(redis.clone()),
        presence,
        rate_limits: RateLimits::new(&config, redis.clone()),
        redis,
        epoch,
        hub,
        streams: Streams::new(limits_are_on.then(|| config.server.max_streams_per_session.get())),
        committer: Committer::start(db.clone(), clock.clone(), Arc::clone(&bus), config.storage.commit_lanes),
        reaction_turns: ReactionTurns::default(),
        search_index: SearchIndex::default(),
        bus,
        clock,
        db,
        config,
    });
    accounts::sessions::load_revocations(&app).await?;
    Ok(app)
}

fn tokens(config: &AuthConfig, secret: &[u8]) -> Tokens {
    Tokens::new(secret, config.access_token_seconds)
}

/// The secret that signs access tokens in development: made once and kept beside the database, for its owner's eyes.
fn development_secret(database_url: &DatabaseUrl) -> Result<Vec<u8>, Error> {
    let path = match database_url {
        DatabaseUrl::Sqlite(database) => {
            let mut path = OsString::from(database);
            path.push(".secret");
            PathBuf::from(path)
        }
        DatabaseUrl::Postgres(_) => {
            tracing::info!("no KITH_JWT_SECRET: processes that start in other folders refuse this one's access tokens");
            PathBuf::from("kith.secret")
        }
    };
    read_or_make_secret(&path)
        .map_err(|error| Error::internal(format!("the development secret {} cannot be kept: {error}", path.display())))
}

fn read_or_make_secret(path: &Path) -> io::Result<Vec<u8>> {
    let secret = URL_SAFE_NO_PAD.encode(random_bytes::<48>());
    // Written elsewhere and then linked: two processes that start at once end up with one secret, and nobody reads half
    // of one.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", URL_SAFE_NO_PAD.encode(random_bytes::<9>())));
    if !path.exists() {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?
            .write_all(secret.as_bytes())?;
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    make_private(path)?;
    let secret = fs::read(path)?;
    if secret.len() < 32 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has fewer than 32 bytes"));
    }
    Ok(secret)
}

/// Whoever can read the secret can be anybody. A file that was copied or restored may have lost its mode.
fn make_private(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let path = path.display();
        tracing::warn!(%path, "others could read the development secret and no longer can; delete it to get a new one");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_secret_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = DatabaseUrl::Sqlite(folder.path().join("kith.db"));
        let secret = development_secret(&url).expect("is made");
        assert_eq!(development_secret(&url).expect("is read"), secret);
        let path = folder.path().join("kith.db.secret");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
        for others in [0o644, 0o620, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(others)).expect("is changed");
            assert_eq!(development_secret(&url).expect("is read"), secret);
            let mode = fs::metadata(&path).expect("is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{others:o} is mended");
        }
        fs::write(&path, "short").expect("is written");
        assert!(development_secret(&url).is_err());
    }
}
