//! Asking for an export, finding it, and giving it up.

use entity::{DataExportId, UserId, data_export};
use sea_orm::{EntityTrait, QuerySelect};

use super::{store, types::DataExportStatus};
use crate::{
    app::App,
    auth::Viewer,
    error::{Error, Outcome},
    events::Transaction,
    rate_limits::Action,
    users::access::GONE,
};

/// Asks for an export of the viewer's data. While one is pending, it is that one, and nothing is counted.
pub async fn request(app: &App, viewer: &Viewer) -> Outcome<data_export::Model> {
    let user_id = viewer.user_id();
    if let Some(pending) = newest_pending(app, viewer).await? {
        return Ok(pending);
    }
    let subject = user_id.0.to_string();
    app.rate_limits.check(Action::RequestDataExport, &subject).await?;
    let tx = Transaction::begin(app).await?;
    // Of requests in the same moment one makes it, and a deletion of the account comes before or after.
    let account = entity::account::Entity::find_by_id(user_id).lock_exclusive().one(tx.db()).await?;
    account.ok_or(GONE)?;
    let now = app.clock.now();
    if let Some(newest) = store::newest_of(tx.db(), user_id).await?
        && DataExportStatus::of(&newest, now) == DataExportStatus::Pending
    {
        app.rate_limits.refund(Action::RequestDataExport, &subject).await;
        return Ok(newest);
    }
    let export = store::insert(tx.db(), app.clock.new_id(), user_id, now).await?;
    tx.commit().await?;
    app.exports.wake.notify_one();
    Ok(export)
}

async fn newest_pending(app: &App, viewer: &Viewer) -> Result<Option<data_export::Model>, Error> {
    let newest = newest(app, viewer).await?;
    Ok(newest.filter(|row| DataExportStatus::of(row, app.clock.now()) == DataExportStatus::Pending))
}

/// The viewer's newest export.
pub async fn newest(app: &App, viewer: &Viewer) -> Result<Option<data_export::Model>, Error> {
    store::newest_of(app.db.read(), viewer.user_id()).await
}

/// The viewer's exports among the ids, by one statement.
pub async fn find(app: &App, viewer: &Viewer, ids: &[DataExportId]) -> Result<Vec<data_export::Model>, Error> {
    store::among_those_of(app.db.read(), viewer.user_id(), ids).await
}

/// For who deletes their account, whose account is held: deletes their exports. One that is just being made comes to
/// nothing.
pub async fn forget(tx: &Transaction<'_>, user_id: UserId) -> Result<(), Error> {
    store::delete_all_of(tx.db(), user_id).await
}
