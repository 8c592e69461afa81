//! UUIDv7 newtypes, one for each noun.

use sea_orm::{DbErr, DeriveValueType, TryFromU64};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, DeriveValueType,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    };
}

id!(
    /// A person.
    UserId
);
id!(
    /// A signed-in device.
    SessionId
);
id!(
    /// An invite of any kind.
    InviteId
);
id!(
    /// A reusable link into a group.
    InviteLinkId
);
id!(
    /// A room of messages: a direct conversation or a group.
    ConversationId
);
id!(
    /// A message.
    MessageId
);
id!(
    /// A mail that waits to be sent.
    MailId
);
