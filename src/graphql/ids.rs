//! Global ids: a TypeID over a UUIDv7, e.g. `user_01h455vb4pex5vsknk084sn02q`. They say what they identify, and
//! decoding the wrong kind is a clear refusal. (TypeID: the format of jetify-com/typeid.)

use async_graphql::ID;
use entity::{ConversationId, DataExportId, InviteId, InviteLinkId, MessageId, SessionId, UserId};
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use crate::error::{Error, Refusal, UserErrorCode};

/// An id that can travel.
pub trait GlobalId: Copy + From<Uuid> {
    type Tag: StaticType;
    fn uuid(self) -> Uuid;

    /// The form on the wire.
    fn encode(self) -> ID {
        ID(TypeSafeId::<Self::Tag>::from_uuid(self.uuid()).to_string())
    }

    /// Reads the form on the wire; `None` for malformed text and for ids of another kind.
    fn decode(text: &str) -> Option<Self> {
        let id: TypeSafeId<Self::Tag> = text.parse().ok()?;
        Some(Self::from(id.uuid()))
    }
}

/// For query arguments: a bad id is a mistake of the program, told as a GraphQL error.
pub fn decode_argument<I: GlobalId>(id: &ID, argument: &'static str) -> Result<I, Error> {
    I::decode(id).ok_or_else(|| Error::bad_input(format!("`{argument}` is not {}", description::<I>())))
}

/// For mutation inputs: a bad id is told like any other bad field.
pub fn decode_field<I: GlobalId>(id: &ID, field: &str) -> Result<I, Refusal> {
    decode_path(id, &[field])
}

/// As [`decode_field`], for a field nested in the input.
pub fn decode_path<I: GlobalId>(id: &ID, path: &[&str]) -> Result<I, Refusal> {
    I::decode(id).ok_or_else(|| {
        Refusal::new(UserErrorCode::InvalidInput, format!("This is not {}", description::<I>())).of_path(path)
    })
}

fn description<I: GlobalId>() -> String {
    format!("an id of the form {}_….", <I::Tag as StaticType>::TYPE)
}

macro_rules! global_id {
    ($id:ident, $tag:ident, $prefix:literal) => {
        #[derive(Default)]
        pub struct $tag;

        impl StaticType for $tag {
            const TYPE: &'static str = $prefix;
        }

        impl GlobalId for $id {
            type Tag = $tag;
            fn uuid(self) -> Uuid {
                self.0
            }
        }
    };
}

/// The signed-in account as a node: the same UUID as its user, under another prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewerId(pub Uuid);

impl From<Uuid> for ViewerId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

global_id!(UserId, UserTag, "user");
global_id!(ViewerId, ViewerTag, "viewer");
global_id!(SessionId, SessionTag, "session");
global_id!(InviteId, InviteTag, "invite");
global_id!(InviteLinkId, InviteLinkTag, "link");
global_id!(ConversationId, ConversationTag, "conv");
global_id!(MessageId, MessageTag, "msg");
global_id!(DataExportId, DataExportTag, "export");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_wire_and_says_what_it_is() {
        let id = UserId(Uuid::from_u128(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881));
        let text = id.encode();
        assert_eq!(text.as_str(), "user_01h2xcejqtf2nbrexx3vqjhp41", "the TypeID specification's example");
        assert_eq!(UserId::decode(&text), Some(id));
        assert_eq!(MessageId::decode(&text), None);
    }

    #[test]
    fn nonsense_is_not_an_id() {
        for text in [
            "",
            "user",
            "user_",
            "user_zzz",
            "_01h2xcejqtf2nbrexx3vqjhp41",
            "user_\0",
            "🦀",
            "user_81h2xcejqtf2nbrexx3vqjhp41",
        ] {
            assert_eq!(UserId::decode(text), None, "{text:?}");
        }
        assert_eq!(UserId::decode(&"x".repeat(100_000)), None);
    }
}
