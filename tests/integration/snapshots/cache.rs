//! A client's cache: objects by their id, and the lists that the viewer sees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::support::*;

const FRAGMENTS: &str = "
    fragment Face on User { __typename id username displayName createdAt }
    fragment Person on User { ...Face relationship conversation { __typename id } }
    fragment Text on Message {
        __typename id sequence body createdAt editedAt deletedAt reactions { emoji count }
        conversation { __typename id } sender { ...Face } replyTo { __typename id }
        reactions { emoji count viewerHasReacted }
    }
    fragment Offer on Invite {
        __typename id kind status email note createdAt expiresAt respondedAt
        inviter { ...Person } invitee { ...Person } group { __typename id name }
    }
    fragment Room on Conversation {
        __typename id createdAt lastActivityAt unreadCount viewerCanSend
        lastMessage { ...Text }
        ... on DirectConversation { peer { ...Person } }
        ... on Group { name description memberCount viewerRole }
    }
    fragment Member on MemberEdge { role joinedAt lastReadSequence lastReadAt node { ...Person } }";

const OVERVIEW: &str = "
    query Overview {
        viewer {
            __typename id email emailVerified phone discoverable readReceipts unreadCount
            user { ...Person }
            sessions { __typename id createdAt userAgent current }
            friends(first: 50) { totalCount nodes { ...Person } }
            blockedUsers(first: 50) { nodes { ...Person } }
            invites(first: 50) { totalCount nodes { ...Offer } }
            conversations(first: 50) { nodes { ...Room } }
        }
    }";

const ROOM: &str = "
    query Room($id: ID!) {
        conversation(id: $id) {
            id
            messages(last: 50) { nodes { ...Text } }
            members(first: 50) { totalCount edges { ...Member } }
        }
    }";

const LISTEN: &str = "
    subscription Events($after: String) {
        events(after: $after) {
            cursor
            event {
                __typename
                ... on MessageEvent { type messageEdge { node { ...Text } } }
                ... on ReadReceipt { conversationId sequence readAt user { ...Face } }
                ... on InviteChanged { invite { ...Offer } }
                ... on ConversationChanged { conversation { ...Room } }
                ... on ConversationRemoved { conversationId }
                ... on MemberChanged { conversationId memberEdge { ...Member } }
                ... on MemberRemoved { conversationId userId }
                ... on FriendshipChanged { user { ...Person } }
                ... on ResyncRequired { reason }
            }
        }
    }";

/// Follows everything, with all that the snapshot has of it.
pub static EVENTS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| with_fragments(LISTEN));

/// An operation with those of the fragments that it uses, since none may be left over.
fn with_fragments(operation: &str) -> String {
    let fragments: Vec<&str> = FRAGMENTS.split("fragment ").skip(1).collect();
    let mut document = operation.to_owned();
    let mut used = BTreeSet::new();
    loop {
        let next = fragments.iter().find(|fragment| {
            let name = fragment.split(' ').next().expect("a name");
            document.contains(&format!("...{name} ")) && used.insert(name)
        });
        match next {
            Some(fragment) => document.push_str(&format!("\nfragment {fragment}")),
            None => return document,
        }
    }
}

/// What one client knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cache {
    /// By id. A field that is an object with an id is `{"ref": id}`.
    objects: BTreeMap<String, Map<String, Value>>,
    viewer: String,
    sessions: Vec<String>,
    friends: BTreeSet<String>,
    blocked: BTreeSet<String>,
    invites: BTreeSet<String>,
    conversations: BTreeSet<String>,
    /// Of the conversations that were opened.
    rooms: BTreeMap<String, Room>,
}

/// What is fetched when a conversation is opened.
#[derive(Clone, Debug, Default, PartialEq)]
struct Room {
    messages: BTreeMap<i64, String>,
    /// Edges by the member's id.
    members: BTreeMap<String, Map<String, Value>>,
}

impl Cache {
    /// What the server says now.
    pub async fn fetch(person: &Person) -> Self {
        let mut cache = Self::default();
        let data = person.ask(&with_fragments(OVERVIEW), json!({})).await;
        let viewer = &data["viewer"];
        cache.viewer = id_of(viewer);
        cache.sessions = cache.put_all(&viewer["sessions"]);
        let friends = cache.put_all(&viewer["friends"]["nodes"]);
        assert_eq!(viewer["friends"]["totalCount"], friends.len(), "a count is that of the list");
        cache.friends = friends.into_iter().collect();
        cache.blocked = cache.put_all(&viewer["blockedUsers"]["nodes"]).into_iter().collect();
        let invites = cache.put_all(&viewer["invites"]["nodes"]);
        assert_eq!(viewer["invites"]["totalCount"], invites.len(), "a count is that of the list");
        assert_eq!(invites, cache.in_order(&invites, "createdAt"), "invites are in the order of the rule");
        cache.invites = invites.into_iter().collect();
        let conversations = cache.put_all(&viewer["conversations"]["nodes"]);
        let ordered = cache.in_order(&conversations, "lastActivityAt");
        assert_eq!(conversations, ordered, "conversations are in the order of the rule");
        cache.conversations = conversations.into_iter().collect();
        cache.put(&without(viewer, &["sessions", "friends", "blockedUsers", "invites", "conversations"]));
        let stated = viewer["unreadCount"].clone();
        cache.count_unread();
        assert_eq!(cache.objects[&cache.viewer]["unreadCount"], stated, "the viewer's count is the sum");

        for id in cache.conversations.clone() {
            let data = person.ask(&with_fragments(ROOM), json!({"id": id})).await;
            let conversation = &data["conversation"];
            let mut room = Room::default();
            for message in list(&conversation["messages"]["nodes"]) {
                room.messages.insert(number(&message["sequence"]), cache.put(message));
            }
            for edge in list(&conversation["members"]["edges"]) {
                let (member, edge) = cache.put_edge(edge);
                room.members.insert(member, edge);
            }
            assert_eq!(conversation["members"]["totalCount"], room.members.len(), "a count is that of the list");
            cache.rooms.insert(id, room);
        }
        cache
    }

    /// Takes in an event. These are the rules for clients, in `docs/cache.md`.
    pub fn apply(&mut self, envelope: &Value) {
        let event = &envelope["event"];
        match event["__typename"].as_str().expect("a type") {
            "MessageEvent" => {
                let message = &event["messageEdge"]["node"];
                let id = self.put(message);
                if let Some(room) = self.rooms.get_mut(&id_of(&message["conversation"])) {
                    let sequence = number(&message["sequence"]);
                    room.messages.insert(sequence, id);
                    // Who sends has read up to there.
                    if event["type"] == "ADDED"
                        && let Some(edge) = room.members.get_mut(&id_of(&message["sender"]))
                    {
                        read_up_to(edge, sequence, &message["createdAt"]);
                    }
                }
            }
            "ReadReceipt" => {
                let member = self.put(&event["user"]);
                let conversation = event["conversationId"].as_str().expect("an id");
                let edge = self.rooms.get_mut(conversation).and_then(|room| room.members.get_mut(&member));
                if let Some(edge) = edge {
                    read_up_to(edge, number(&event["sequence"]), &event["readAt"]);
                }
            }
            "InviteChanged" => {
                let id = self.put(&event["invite"]);
                self.invites.insert(id);
            }
            "ConversationChanged" => {
                let id = self.put(&event["conversation"]);
                self.conversations.insert(id);
            }
            "ConversationRemoved" => {
                let id = event["conversationId"].as_str().expect("an id");
                self.conversations.remove(id);
                self.rooms.remove(id);
                // Nor is it seen through an invite of before.
                for invite in &self.invites {
                    let invite = self.objects.get_mut(invite).expect("it is listed");
                    if invite["group"] == json!({"ref": id}) {
                        invite.insert("group".into(), Value::Null);
                    }
                }
            }
            "MemberChanged" => {
                let (member, edge) = self.put_edge(&event["memberEdge"]);
                if let Some(room) = self.rooms.get_mut(event["conversationId"].as_str().expect("an id")) {
                    room.members.insert(member, edge);
                }
            }
            "MemberRemoved" => {
                if let Some(room) = self.rooms.get_mut(event["conversationId"].as_str().expect("an id")) {
                    room.members.remove(event["userId"].as_str().expect("an id"));
                }
            }
            "FriendshipChanged" => {
                let id = self.put(&event["user"]);
                let relationship = &event["user"]["relationship"];
                set(&mut self.friends, &id, relationship == "FRIEND");
                set(&mut self.blocked, &id, relationship == "BLOCKED");
                // What somebody who is blocked offers is not shown.
                if relationship == "BLOCKED" {
                    let objects = &self.objects;
                    self.invites.retain(|invite| {
                        let invite = &objects[invite];
                        invite["status"] != "PENDING" || invite["inviter"] != json!({"ref": id})
                    });
                }
            }
            "ResyncRequired" => panic!("nothing was missed that cannot be replayed: {envelope}"),
            // Of the stream itself, or unknown.
            _ => {}
        }
        self.count_unread();
    }

    /// In which fields and lists this differs from what the server says now, and how. What the server no longer shows
    /// is not looked at, nor is the inside of a conversation that was never opened.
    pub fn differences(&self, now: &Self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut compare = |key: String, here: String, there: String| {
            if here != there {
                found.insert(key, format!("{here} instead of {there}"));
            }
        };
        compare("Viewer.sessions".into(), format!("{:?}", self.sessions), format!("{:?}", now.sessions));
        compare("Viewer.friends".into(), format!("{:?}", self.friends), format!("{:?}", now.friends));
        compare("Viewer.blockedUsers".into(), format!("{:?}", self.blocked), format!("{:?}", now.blocked));
        compare("Viewer.invites".into(), format!("{:?}", self.invites), format!("{:?}", now.invites));
        let (here, there) = (&self.conversations, &now.conversations);
        compare("Viewer.conversations".into(), format!("{here:?}"), format!("{there:?}"));
        for (id, room) in &self.rooms {
            let Some(there) = now.rooms.get(id) else { continue };
            compare("Conversation.messages".into(), format!("{:?}", room.messages), format!("{:?}", there.messages));
            compare("Conversation.members".into(), format!("{:?}", room.members), format!("{:?}", there.members));
        }
        let nothing = Map::new();
        for (id, object) in &now.objects {
            // Of a conversation that was never opened the messages and people may be new.
            let Some(here) = self.objects.get(id).or_else(|| self.is_listed(id).then_some(&nothing)) else { continue };
            for (field, there) in object {
                let of = object["__typename"].as_str().expect("a type");
                let here = here.get(field).unwrap_or(&Value::Null);
                compare(format!("{of}.{field}"), format!("{id}: {here}"), format!("{id}: {there}"));
            }
        }
        found
    }

    fn is_listed(&self, id: &str) -> bool {
        [&self.friends, &self.blocked, &self.invites, &self.conversations].iter().any(|list| list.contains(id))
    }

    /// Takes an object in, and those in it; gives its id.
    fn put(&mut self, object: &Value) -> String {
        let id = id_of(object);
        let fields = object.as_object().expect("an object");
        for (name, value) in fields {
            let value = self.put_value(value);
            self.objects.entry(id.clone()).or_default().insert(name.clone(), value);
        }
        id
    }

    fn put_value(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(fields) if fields.contains_key("id") => json!({"ref": self.put(value)}),
            Value::Array(values) => values.iter().map(|value| self.put_value(value)).collect(),
            value => value.clone(),
        }
    }

    fn put_all(&mut self, objects: &Value) -> Vec<String> {
        list(objects).iter().map(|object| self.put(object)).collect()
    }

    /// Takes in the person of an edge; gives their id, and the rest.
    fn put_edge(&mut self, edge: &Value) -> (String, Map<String, Value>) {
        let id = self.put(&edge["node"]);
        let edge = without(edge, &["node"]);
        (id, edge.as_object().expect("an edge").clone())
    }

    /// The latest first, then by id.
    fn in_order(&self, ids: &[String], time: &str) -> Vec<String> {
        let mut ids = ids.to_vec();
        ids.sort_by_key(|id| std::cmp::Reverse((self.objects[id][time].to_string(), id.clone())));
        ids
    }

    fn count_unread(&mut self) {
        let unread = |id: &String| self.objects[id]["unreadCount"].as_i64().expect("a number");
        let sum: i64 = self.conversations.iter().map(unread).sum();
        if let Some(viewer) = self.objects.get_mut(&self.viewer) {
            viewer.insert("unreadCount".into(), sum.into());
        }
    }
}

/// Read positions never go back.
fn read_up_to(edge: &mut Map<String, Value>, sequence: i64, at: &Value) {
    if number(&edge["lastReadSequence"]) < sequence {
        edge.insert("lastReadSequence".into(), sequence.into());
        edge.insert("lastReadAt".into(), at.clone());
    }
}

fn set(list: &mut BTreeSet<String>, id: &str, is_in: bool) {
    if is_in {
        list.insert(id.to_owned());
    } else {
        list.remove(id);
    }
}

fn without(object: &Value, fields: &[&str]) -> Value {
    let mut object = object.clone();
    for field in fields {
        object.as_object_mut().expect("an object").remove(*field);
    }
    object
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> i64 {
    value.as_i64().expect("a number")
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}
