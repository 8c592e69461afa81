//! Who sees a link: who manages it, and who holds its code.

use std::sync::Arc;

use entity::{InviteLinkId, conversation, invite_link};

use super::{
    store::{self, LinksOf},
    types::Code,
};
use crate::{
    app::App,
    auth::Viewer,
    conversations::access::{Reader, reader},
    error::Error,
    graphql::loaders::Loaders,
    groups::access::{Act, judge},
};

/// A link that the viewer may see. Only the gates of this module make one.
#[derive(Clone, Debug)]
pub struct VisibleLink(Arc<invite_link::Model>);

impl VisibleLink {
    pub fn id(&self) -> InviteLinkId {
        self.0.id
    }

    pub fn into_row(self) -> Arc<invite_link::Model> {
        self.0
    }

    /// For a link that the viewer has just made or revoked.
    pub(super) fn own(row: invite_link::Model) -> Self {
        Self(Arc::new(row))
    }
}

/// The link of a code, for who has it, while it is alive.
pub async fn by_code(app: &App, code: &Code) -> Result<Option<VisibleLink>, Error> {
    let link = store::by_code(app.db.read(), code, app.clock.now()).await?;
    Ok(link.map(VisibleLink::own))
}

/// Those among the ids that are alive and whose group the viewer manages.
pub async fn managed(
    app: &App,
    loaders: &Loaders,
    viewer: &Viewer,
    ids: &[InviteLinkId],
) -> Result<Vec<VisibleLink>, Error> {
    let links = store::by_ids(&app.db, ids, app.clock.now()).await?;
    let seen = links.into_iter().map(|link| async move {
        let reader = reader(loaders, viewer, link.group_id).await?;
        Ok::<_, Error>(reader.filter(manages).map(|_| VisibleLink::own(link)))
    });
    Ok(futures_util::future::try_join_all(seen).await?.into_iter().flatten().collect())
}

/// The links of a group that are alive, the newest first; none for who does not manage them.
pub async fn of_group(app: &App, loaders: &Loaders, reader: &Reader) -> Result<Vec<VisibleLink>, Error> {
    if !manages(reader) {
        return Ok(Vec::new());
    }
    let key = LinksOf { group_id: reader.conversation().id, now: app.clock.now() };
    let links = loaders.load(key).await?;
    Ok(links.iter().flat_map(|links| links.iter()).cloned().map(VisibleLink::own).collect())
}

fn manages(reader: &Reader) -> bool {
    reader.conversation().kind == conversation::Kind::Group && judge(reader.member().role, Act::ManageLinks).is_ok()
}
