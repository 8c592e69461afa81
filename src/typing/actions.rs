//! Saying that one types.

use std::{sync::Arc, time::Duration};

use entity::Timestamp;

use super::throttle::{Author, Step};
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
    let said_at = app.clock.now();
    match app.typing.say(author, typing).await {
        Step::Nothing => {}
        Step::Tell(typing) => tell(app, sender, typing, said_at).await?,
        Step::Wait(wait) => {
            if app.typing.wait(author, said_at) {
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
        let Some(said_at) = app.typing.waited(author) else { return };
        match app.typing.look(author).await {
            Step::Nothing => return,
            Step::Wait(again) => {
                if !app.typing.wait(author, said_at) {
                    return;
                }
                wait = again;
            }
            Step::Tell(typing) => {
                if let Err(error) = tell_if_still_allowed(&app, &viewer, author, typing, said_at).await {
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
    typing: bool,
    said_at: Timestamp,
) -> Result<(), Error> {
    let loaders = Loaders::new(app.db.clone(), Arc::clone(&app.presence));
    let reader = access::reader(&loaders, viewer, author.conversation_id).await?;
    match reader.and_then(access::sender) {
        Some(sender) => tell(app, &sender, typing, said_at).await,
        None => Ok(()),
    }
}

async fn tell(app: &App, sender: &Sender, typing: bool, said_at: Timestamp) -> Result<(), Error> {
    let loaders = Loaders::new(app.db.clone(), Arc::clone(&app.presence));
    let user = loaders.load(sender.viewer().user_id()).await?;
    let user = user.ok_or_else(|| Error::internal("the author is gone"))?;
    let conversation_id = sender.conversation().id;
    events::signal(app, conversation_id, Event::Typing { conversation_id, user, typing, said_at });
    Ok(())
}
