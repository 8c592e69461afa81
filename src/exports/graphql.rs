//! Exports on the wire.

use std::collections::HashMap;

use async_graphql::{Context, ID, Object, SimpleObject};
use entity::{DataExportId, data_export};

use super::{LINK_SECONDS, actions, types::DataExportStatus};
use crate::{
    app::App,
    auth,
    error::{Error, Refusal, payload},
    graphql::{app, ids::GlobalId, scalars::DateTime, viewer},
};

/// An archive of what is the viewer's own, as one JSON document: profile and private half, sessions, friends, blocked
/// people, invites, memberships and everything they wrote.
#[derive(Clone, Debug)]
pub struct DataExport(data_export::Model);

/// An archive of what is the viewer's own, as one JSON document: profile and private half, sessions, friends, blocked
/// people, invites, memberships and everything they wrote.
#[Object]
impl DataExport {
    /// Opaque and stable, e.g. `export_01h455vb4pex5vsknk084sn02q`.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// Where it is in its life.
    async fn status(&self, ctx: &Context<'_>) -> DataExportStatus {
        DataExportStatus::of(&self.0, app(ctx).clock.now())
    }

    /// When it was asked for.
    async fn requested_at(&self) -> DateTime {
        self.0.requested_at.into()
    }

    /// When it is deleted, or was; null until it is ready.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(Into::into)
    }

    /// Where to fetch it with GET and without a token, while it is ready; else null. Whoever has the address can use it,
    /// and for 15 minutes only: ask for it when it is needed, and ask again for another. A relative one starts at the
    /// server's own address.
    async fn url(&self, ctx: &Context<'_>) -> Option<String> {
        let app = app(ctx);
        let now = app.clock.now();
        let is_ready = DataExportStatus::of(&self.0, now) == DataExportStatus::Ready;
        let over = self.0.expires_at.filter(|_| is_ready)?;
        Some(address(app, self.0.id, now.plus_seconds(LINK_SECONDS).min(over)))
    }
}

fn address(app: &App, id: DataExportId, expires_at: entity::Timestamp) -> String {
    let path = app.exports.links.sign(id, expires_at);
    match app.config.mail.chosen_public_url() {
        Some(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
        None => path,
    }
}

/// `nodes(ids)` for the viewer's exports among them, by one statement; nothing for anybody else's.
pub async fn data_export_nodes(
    app: &App,
    viewer: &auth::Viewer,
    ids: &[DataExportId],
) -> Result<HashMap<DataExportId, DataExport>, Error> {
    let rows = actions::find(app, viewer, ids).await?;
    Ok(rows.into_iter().map(|row| (row.id, DataExport(row))).collect())
}

/// The part of `Viewer` that is this slice's.
#[derive(Clone, Default)]
pub struct ViewerExports;

#[Object]
impl ViewerExports {
    /// The export of their data that was requested last; null when there was none.
    async fn data_export(&self, ctx: &Context<'_>) -> Option<Result<DataExport, Error>> {
        let newest = async { actions::newest(app(ctx), &viewer(ctx)?).await };
        newest.await.map(|row| row.map(DataExport)).transpose()
    }
}

#[derive(Default)]
pub struct ExportMutation;

#[Object]
impl ExportMutation {
    /// Asks for an archive of what is the viewer's own. It is made in the background: ask for `viewer.dataExport` until
    /// its status is READY. While one is pending, asking again gives that one; two a day can be made.
    async fn request_data_export(&self, ctx: &Context<'_>) -> Result<RequestDataExportPayload, Error> {
        let (export, user_errors) = payload(actions::request(app(ctx), &viewer(ctx)?).await)?;
        Ok(RequestDataExportPayload { data_export: export.map(DataExport), user_errors })
    }
}

/// The export that is being made.
#[derive(SimpleObject)]
pub struct RequestDataExportPayload {
    /// Null when it was refused.
    data_export: Option<DataExport>,
    /// Why it was refused; empty when it was done.
    user_errors: Vec<Refusal>,
}
