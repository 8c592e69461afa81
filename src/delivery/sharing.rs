//! Which results may be shared among listeners: those of fields that are the same for everybody who may see them.
//!
//! Only fields in this table are; a field that is not is taken to depend on the viewer, so forgetting one costs speed
//! and never privacy.

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet};

use super::feed::Source;

/// The type of a shareable field's value: a leaf, or the type to go on with.
enum Field {
    Leaf,
    Object(&'static str),
}

fn shareable(parent: &str, field: &str) -> Option<Field> {
    use Field::{Leaf, Object};
    Some(match (parent, field) {
        (_, "__typename") => Leaf,
        ("Subscription", "messageEvents") => Object("MessageEvent"),
        ("Subscription", "readReceipts") => Object("ReadReceipt"),
        ("Subscription", "typing") => Object("TypingEvent"),
        ("Subscription", "presence") => Object("Presence"),
        ("Subscription", "events") => Object("EventEnvelope"),
        ("EventEnvelope", "cursor" | "occurredAt") => Leaf,
        ("EventEnvelope", "event") => Object("Event"),
        ("MessageEvent", "type" | "cursor") => Leaf,
        ("MessageEvent", "messageEdge") => Object("MessageEdge"),
        ("MessageEdge", "cursor") => Leaf,
        ("MessageEdge", "node") => Object("Message"),
        ("Message", "id" | "sequence" | "body" | "createdAt" | "editedAt" | "deletedAt") => Leaf,
        ("Message", "reactions") => Object("ReactionCount"),
        ("ReactionCount", "emoji" | "count") => Leaf,
        ("Message", "sender") => Object("User"),
        ("Message", "replyTo") => Object("Message"),
        ("Message", "conversation") => Object("Conversation"),
        ("Conversation" | "DirectConversation" | "Group", "id" | "createdAt" | "lastActivityAt") => Leaf,
        ("User", "id" | "username" | "displayName" | "createdAt") => Leaf,
        ("ReadReceipt", "conversationId" | "sequence" | "readAt") => Leaf,
        ("ReadReceipt", "user") => Object("User"),
        ("TypingEvent", "conversationId" | "typing") => Leaf,
        ("TypingEvent", "user") => Object("User"),
        ("Presence", "status" | "lastSeenAt") => Leaf,
        ("Presence", "user") => Object("User"),
        ("MemberChanged", "conversationId") => Leaf,
        ("MemberChanged", "memberEdge") => Object("MemberEdge"),
        ("MemberEdge", "cursor" | "role" | "joinedAt") => Leaf,
        ("MemberEdge", "node") => Object("User"),
        ("MemberRemoved", "conversationId" | "userId") => Leaf,
        ("Node", "id") => Leaf,
        _ => return None,
    })
}

/// The members of the union that many listeners of a conversation hear alike. What the others select does not matter for
/// sharing these.
const OF_CONVERSATIONS: &[&str] = &["MessageEvent", "ReadReceipt", "TypingEvent", "MemberChanged", "MemberRemoved"];

/// Whether what the operation selects of what happens in a conversation is the same for every listener of its source.
pub fn is_shareable(document: &ExecutableDocument, operation_name: Option<&str>) -> bool {
    is_shareable_among(document, operation_name, OF_CONVERSATIONS)
}

/// Whether what the operation selects of presence is the same for everybody who may see it.
pub fn is_presence_shareable(document: &ExecutableDocument, operation_name: Option<&str>) -> bool {
    is_shareable_among(document, operation_name, &["Presence"])
}

fn is_shareable_among(document: &ExecutableDocument, operation_name: Option<&str>, members: &[&str]) -> bool {
    let sharing = Sharing { document, members };
    operation(document, operation_name)
        .is_some_and(|operation| sharing.all_shareable("Subscription", &operation.selection_set.node, 0))
}

/// Whether the operation asks on `events` for anything of a member of the union.
pub fn mentions_event(
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    source: &Source,
    member: &str,
) -> bool {
    matches!(source, Source::Everything { .. })
        && operation(document, operation_name)
            .is_some_and(|operation| mentions(document, &operation.selection_set.node, member, 0))
}

fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    document
        .operations
        .iter()
        .find(|(of, _)| name.is_none() || of.map(|of| of.as_str()) == name)
        .map(|(_, operation)| &operation.node)
}

/// The guard has bounded the document; this bounds the walk whatever it was given.
const MAX_DEPTH: usize = 64;

struct Sharing<'a> {
    document: &'a ExecutableDocument,
    /// The members of the union that are to be shared.
    members: &'a [&'a str],
}

impl Sharing<'_> {
    fn all_shareable(&self, parent: &str, selections: &SelectionSet, depth: usize) -> bool {
        depth < MAX_DEPTH
            && selections.items.iter().all(|selection| match &selection.node {
                Selection::Field(field) => match shareable(parent, &field.node.name.node) {
                    Some(Field::Leaf) => true,
                    Some(Field::Object(of)) => self.all_shareable(of, &field.node.selection_set.node, depth + 1),
                    None => false,
                },
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let of = condition.map_or(parent, |condition| condition.node.on.node.as_str());
                    self.not_shared(parent, of) || self.all_shareable(of, &fragment.node.selection_set.node, depth + 1)
                }
                Selection::FragmentSpread(spread) => {
                    match self.document.fragments.get(&spread.node.fragment_name.node) {
                        Some(fragment) => {
                            let of = fragment.node.type_condition.node.on.node.as_str();
                            self.not_shared(parent, of)
                                || self.all_shareable(of, &fragment.node.selection_set.node, depth + 1)
                        }
                        None => false,
                    }
                }
            })
    }

    /// Whether a fragment is on a member of the union that is not to be shared, so that it says nothing of those that
    /// are.
    fn not_shared(&self, parent: &str, of: &str) -> bool {
        parent == "Event" && of != "Event" && !self.members.contains(&of)
    }
}

fn mentions(document: &ExecutableDocument, selections: &SelectionSet, name: &str, depth: usize) -> bool {
    depth < MAX_DEPTH
        && selections.items.iter().any(|selection| match &selection.node {
            Selection::Field(field) => mentions(document, &field.node.selection_set.node, name, depth + 1),
            Selection::InlineFragment(fragment) => {
                fragment.node.type_condition.as_ref().is_some_and(|condition| condition.node.on.node == name)
                    || mentions(document, &fragment.node.selection_set.node, name, depth + 1)
            }
            Selection::FragmentSpread(spread) => {
                document.fragments.get(&spread.node.fragment_name.node).is_some_and(|fragment| {
                    fragment.node.type_condition.node.on.node == name
                        || mentions(document, &fragment.node.selection_set.node, name, depth + 1)
                })
            }
        })
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn shared(query: &str) -> bool {
        is_shareable(&parse_query(query).expect("parses"), None)
    }

    #[test]
    fn what_everybody_sees_alike_is_shared() {
        assert!(shared(
            "subscription { messageEvents(conversationId: 1) { type cursor messageEdge { cursor node { id body reactions { emoji count } sender { username } replyTo { id } conversation { id } } } } }"
        ));
        assert!(shared(
            "subscription { ...S } fragment S on Subscription { readReceipts(conversationId: 1) { sequence user { __typename id } } }"
        ));
        assert!(shared(
            "subscription { events { cursor event { __typename ... on MessageEvent { type } ... on ConversationChanged { conversation { unreadCount } } } } }"
        ));
    }

    #[test]
    fn what_depends_on_the_viewer_is_not() {
        for query in [
            "subscription { messageEvents(conversationId: 1) { messageEdge { node { sender { relationship } } } } }",
            "subscription { messageEvents(conversationId: 1) { messageEdge { node { conversation { unreadCount } } } } }",
            "subscription { messageEvents(conversationId: 1) { messageEdge { node { ...M } } } } fragment M on Message { conversation { viewerCanSend } }",
            "subscription { events { event { ... on MessageEvent { messageEdge { node { conversation { ... on DirectConversation { peer { id } } } } } } } } }",
            "subscription { messageEvents(conversationId: 1) { messageEdge { node { reactions { emoji viewerHasReacted } } } } }",
            "subscription { messageEvents(conversationId: 1) { messageEdge { node { readBy { nodes { id } } } } } }",
            "subscription { events { event { ... on MemberChanged { memberEdge { lastReadSequence } } } } }",
            "subscription { messageEvents(conversationId: 1) { somethingNew } }",
            "query { viewer { id } }",
        ] {
            assert!(!shared(query), "{query}");
        }
    }

    #[test]
    fn presence_is_shared_by_itself() {
        let both = "subscription { events { cursor event { ... on Presence { status lastSeenAt user { id } } ... on MessageEvent { messageEdge { node { sender { relationship } } } } } } }";
        let presence = |query: &str| is_presence_shareable(&parse_query(query).expect("parses"), None);
        assert!(presence(both) && !shared(both));
        assert!(presence("subscription { presence { user { username } status } }"));
        assert!(!presence("subscription { presence { user { relationship } } }"));
        assert!(!presence("subscription { events { event { ... on Presence { user { presence { status } } } } } }"));
        assert!(shared("subscription { typing(conversationId: 1) { typing user { id } } }"));
    }

    #[test]
    fn a_circle_of_fragments_ends() {
        assert!(!shared(
            "subscription { ...A } fragment A on Subscription { ...B } fragment B on Subscription { ...A }"
        ));
    }
}
