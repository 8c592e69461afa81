//! Where an export is in its life.

use async_graphql::Enum;
use entity::{
    Timestamp,
    data_export::{self, Status},
};

/// Where an export is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
pub enum DataExportStatus {
    /// It is being made, or waits to be. Ask again in some seconds.
    Pending,
    /// It can be fetched from `url` until `expiresAt`.
    Ready,
    /// It could not be made. Request another.
    Failed,
    /// Its time is over, and it was deleted. Request another.
    Expired,
}

impl DataExportStatus {
    pub fn of(row: &data_export::Model, now: Timestamp) -> Self {
        match row.status {
            Status::Pending => Self::Pending,
            Status::Ready if row.expires_at.is_none_or(|expires_at| expires_at <= now) => Self::Expired,
            Status::Ready => Self::Ready,
            Status::Failed => Self::Failed,
            Status::Expired => Self::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use entity::{DataExportId, UserId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_is_ready_expires_by_itself() {
        let now = Timestamp(1000);
        for (status, expires_at, expected) in [
            (Status::Pending, None, DataExportStatus::Pending),
            (Status::Ready, Some(1001), DataExportStatus::Ready),
            (Status::Ready, Some(1000), DataExportStatus::Expired),
            (Status::Ready, None, DataExportStatus::Expired),
            (Status::Failed, None, DataExportStatus::Failed),
            (Status::Expired, Some(1), DataExportStatus::Expired),
        ] {
            let row = data_export::Model {
                id: DataExportId(Uuid::nil()),
                user_id: UserId(Uuid::nil()),
                status,
                requested_at: Timestamp(0),
                attempts: 0,
                claim: None,
                claimed_until: None,
                n_bytes: None,
                expires_at: expires_at.map(Timestamp),
            };
            assert_eq!(DataExportStatus::of(&row, now), expected, "{status:?} {expires_at:?}");
        }
    }
}
