//! The documents that many stories send.

/// What a story wants to know of a message.
pub const MESSAGE: &str = "id sequence body editedAt deletedAt sender { id } replyTo { id }";

/// Follows one conversation.
pub const MESSAGE_EVENTS: &str = "
    subscription MessageEvents($conversationId: ID!, $after: String) {
        messageEvents(conversationId: $conversationId, after: $after) {
            type
            cursor
            messageEdge { cursor node { id sequence body editedAt deletedAt sender { id } replyTo { id } } }
        }
    }";

/// Follows everything.
pub const EVENTS: &str = "
    subscription Events($after: String) {
        events(after: $after) {
            cursor
            occurredAt
            event {
                __typename
                ... on MessageEvent {
                    type
                    messageEdge { node { id sequence body deletedAt sender { id } conversation { id } } }
                }
                ... on ReadReceipt { conversationId sequence user { id } }
                ... on InviteChanged { invite { id status inviter { id } invitee { id } } }
                ... on FriendshipChanged { user { id relationship } }
                ... on ConversationChanged {
                    conversation { id viewerCanSend unreadCount ... on Group { name memberCount viewerRole } }
                }
                ... on ConversationRemoved { conversationId }
                ... on MemberChanged { conversationId memberEdge { role lastReadSequence node { id } } }
                ... on MemberRemoved { conversationId userId }
                ... on ResyncRequired { reason }
            }
        }
    }";

/// Follows read positions.
pub const READ_RECEIPTS: &str = "
    subscription ReadReceipts($conversationId: ID!) {
        readReceipts(conversationId: $conversationId) { conversationId sequence readAt user { id } }
    }";

/// The type of a mutation's `input`.
pub fn input_type(mutation: &str) -> String {
    match mutation {
        "acceptInvite" | "rejectInvite" | "revokeInvite" => "InviteActionInput".into(),
        "leaveGroup" | "deleteGroup" => "GroupActionInput".into(),
        "removeMember" | "transferOwnership" => "MemberActionInput".into(),
        "revokeInviteLink" => "InviteLinkActionInput".into(),
        "addReaction" | "removeReaction" => "ReactionInput".into(),
        "removeFriend" | "blockUser" | "unblockUser" => "UserActionInput".into(),
        _ => format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]),
    }
}
