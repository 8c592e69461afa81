//! Saying that one types.

use std::{sync::Arc, time::Duration};

use super::{
    LIFE,
    throttle::{Author, Step, Word},
};
use crate::{
    app::App,
    auth::Viewer,
    conversations::access::{self, Sender},
    error::{Error, Outcome},
    events::{self, Event},
    graphql::loaders::Loaders,
};

/// Says that the viewer types, or that they stopped. What is said too often is told when it may.
pub async fn set(app: &Arc<App>, sender: &Sender, typing: bool) -> Outcome<()> {
    let viewer = *sender.viewer();
    let author = Author { conversation_id: sender.conversation().id, user_id: viewer.user_id() };
    match app.typing.say(author, Word { typing, said_at: app.clock.now() }).await {
        Step::Nothing => {}
        Step::Tell(word, age) => tell(app, sender, word, age).await?,
        Step::Wait(wait) => {
            if app.typing.wait(author) {
                tokio::spawn(look_later(Arc::clone(app), viewer, author, wait));
            }
        }
    }
    Ok(())
}

/// Tells what waits, when its time has come: one such task at most for one person in one conversation.
async fn look_later(app: Arc<App>, viewer: Viewer, author: Author, mut wait: Duration) {
    loop {
        tokio::time::sleep(wait).await;
        app.typing.waited(author);
        match app.typing.look(author, app.clock.now()).await {
            Step::Nothing => return,
            Step::Wait(again) => {
                if !app.typing.wait(author) {
                    return;
                }
                wait = again;
            }
            Step::Tell(word, age) => {
                if let Err(error) = tell_if_still_allowed(&app, &viewer, author, word, age).await {
                    tracing::warn!(cause = error.cause(), "who types cannot be told");
                }
                return;
            }
        }
    }
}

async fn tell_if_still_allowed(
    app: &App,
    viewer: &Viewer,
    author: Author,
    word: Word,
    age: Duration,
) -> Result<(), Error> {
    let loaders = Loaders::new(app.db.clone(), Arc::clone(&app.presence));
    let reader = access::reader(&loaders, viewer, author.conversation_id).await?;
    match reader.and_then(access::sender) {
        Some(sender) => tell(app, &sender, word, age).await,
        None => Ok(()),
    }
}

/// Tells a word of some age; that somebody types, only as long as it lasts.
async fn tell(app: &App, sender: &Sender, word: Word, age: Duration) -> Result<(), Error> {
    let Word { typing, said_at } = word;
    let left = LIFE.saturating_sub(age);
    if typing && left.is_zero() {
        return Ok(());
    }
    let loaders = Loaders::new(app.db.clone(), Arc::clone(&app.presence));
    let user = loaders.load(sender.viewer().user_id()).await?;
    let user = user.ok_or_else(|| Error::internal("the author is gone"))?;
    let conversation_id = sender.conversation().id;
    events::signal(app, conversation_id, Event::Typing { conversation_id, user, typing, said_at, left });
    Ok(())
}
