//! The server as a subgraph of a federated graph (Apollo Federation 2).
//!
//! `kith schema --federation` prints the subgraph's schema: entities with `@key(fields: "id")`, which other subgraphs
//! may refer to and extend. With `KITH_FEDERATION=on` the server has the two fields that a router asks a subgraph for:
//! `_service` gives that schema, `_entities` looks entities up by their ids, through the same gates as `nodes`, with as
//! many statements. The router passes on the header `Authorization`: who asks is the person, not the router.

use async_graphql::{Context, ID, Object, SimpleObject, Union, Value};

use super::{
    node::{self, AnyId, Node},
    viewer,
};
use crate::{
    conversations::graphql::{DirectConversation, Group},
    error::Error,
    invites::graphql::Invite,
    messages::graphql::Message,
    users::graphql::User,
};

/// Most representations in one `_entities`.
const MAX_ENTITIES: usize = 1000;

/// What other subgraphs may refer to. The viewer and their sessions are nobody else's business.
const ENTITIES: [&str; 5] = ["DirectConversation", "Group", "Invite", "Message", "User"];

/// Types that several subgraphs have alike.
const SHARED: [&str; 1] = ["PageInfo"];

/// The schema of the subgraph, out of the server's.
pub fn subgraph_sdl(sdl: &str) -> String {
    let mut subgraph = String::with_capacity(sdl.len() + 512);
    for line in sdl.lines() {
        let name = line.strip_prefix("type ").and_then(|rest| rest.split([' ', '{']).next()).unwrap_or_default();
        match line.strip_suffix(" {") {
            Some(head) if ENTITIES.contains(&name) => {
                subgraph.push_str(head);
                subgraph.push_str(" @key(fields: \"id\") {");
            }
            Some(head) if SHARED.contains(&name) => {
                subgraph.push_str(head);
                subgraph.push_str(" @shareable {");
            }
            _ => subgraph.push_str(line),
        }
        subgraph.push('\n');
    }
    subgraph.push_str(
        "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.0\", import: [\"@key\", \"@shareable\"])\n",
    );
    subgraph
}

/// What a router asks a subgraph for.
#[derive(Default)]
pub struct FederationQuery;

#[Object]
impl FederationQuery {
    /// The schema of this subgraph.
    #[graphql(name = "_service")]
    async fn service(&self) -> Service {
        Service { sdl: subgraph_sdl(&super::sdl()) }
    }

    /// Entities by their ids, in the same order; null for what does not exist and for what the viewer may not know
    /// about.
    #[graphql(name = "_entities")]
    async fn entities(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of each its `__typename` and `id`.")] representations: Vec<async_graphql::types::Any>,
    ) -> async_graphql::Result<Vec<Option<Entity>>> {
        if representations.len() > MAX_ENTITIES {
            return Err(Error::bad_input(format!("At most {MAX_ENTITIES} representations at once.")).into());
        }
        let keys = representations.iter().map(|any| key_of(&any.0)).collect::<Result<Vec<_>, _>>()?;
        let (names, ids): (Vec<&str>, Vec<ID>) = keys.into_iter().unzip();
        let ids = ids.iter().map(AnyId::decode).collect::<Result<Vec<_>, _>>()?;
        // What cannot be of its type is not looked up.
        let ids = names.iter().zip(ids).map(|(name, id)| may_be(name, id).then_some(id)).collect();
        let found = node::find(ctx, &viewer(ctx)?, ids).await?;
        Ok(names.into_iter().zip(found).map(|(name, node)| Entity::of(name, node?)).collect())
    }
}

/// The `__typename` and `id` of a representation.
fn key_of(representation: &Value) -> Result<(&str, ID), Error> {
    let text = |name: &str| match representation {
        Value::Object(fields) => match fields.get(name) {
            Some(Value::String(text)) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    };
    match (text("__typename"), text("id")) {
        (Some(name), Some(id)) if ENTITIES.contains(&name) => Ok((name, id.into())),
        (Some(_), Some(_)) => Err(Error::bad_input("A representation is of a type that is no entity here.")),
        _ => Err(Error::bad_input("A representation needs `__typename` and `id`.")),
    }
}

/// Whether an id may be that of an entity of this type.
fn may_be(name: &str, id: AnyId) -> bool {
    match id {
        AnyId::Conversation(_) => matches!(name, "DirectConversation" | "Group"),
        AnyId::Invite(_) => name == "Invite",
        AnyId::Message(_) => name == "Message",
        AnyId::User(_) => name == "User",
        AnyId::Viewer(_) | AnyId::Session(_) | AnyId::InviteLink(_) | AnyId::DataExport(_) => false,
    }
}

/// The schema of this subgraph.
#[derive(SimpleObject)]
#[graphql(name = "_Service")]
struct Service {
    /// In the schema definition language.
    sdl: String,
}

/// What other subgraphs may refer to.
#[derive(Union)]
#[graphql(name = "_Entity")]
enum Entity {
    Direct(DirectConversation),
    Group(Group),
    Invite(Invite),
    Message(Message),
    User(User),
}

impl Entity {
    /// Nothing when it is of another type than it was said to be.
    fn of(name: &str, node: Node) -> Option<Self> {
        match (name, node) {
            ("DirectConversation", Node::Conversation(direct)) => Some(Self::Direct(direct)),
            ("Group", Node::Group(group)) => Some(Self::Group(group)),
            ("Invite", Node::Invite(invite)) => Some(Self::Invite(invite)),
            ("Message", Node::Message(message)) => Some(Self::Message(message)),
            ("User", Node::User(user)) => Some(Self::User(user)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_has_its_key() {
        let sdl = crate::graphql::sdl();
        let subgraph = subgraph_sdl(&sdl);
        for name in ENTITIES {
            let line = subgraph.lines().find(|line| line.starts_with(&format!("type {name} "))).expect(name);
            assert!(line.ends_with(" @key(fields: \"id\") {"), "{line}");
        }
        assert!(subgraph.contains("type PageInfo @shareable {"));
        assert_eq!(subgraph.matches(" @key(").count(), ENTITIES.len());
        let without = subgraph.replace(" @key(fields: \"id\")", "").replace(" @shareable {", " {");
        assert!(without.starts_with(&sdl), "nothing else is different");
    }

    #[test]
    fn a_representation_has_a_type_and_an_id() {
        let key = |json: serde_json::Value| {
            let value = Value::from_json(json).expect("a value");
            key_of(&value).map(|(name, id)| (name.to_owned(), id.0)).ok()
        };
        let good = serde_json::json!({"__typename": "User", "id": "user_1", "displayName": "x"});
        assert_eq!(key(good), Some(("User".into(), "user_1".into())));
        for bad in [
            serde_json::json!({"__typename": "User"}),
            serde_json::json!({"id": "user_1"}),
            serde_json::json!({"__typename": "User", "id": 1}),
            serde_json::json!({"__typename": "Viewer", "id": "viewer_1"}),
            serde_json::json!({"__typename": null, "id": "user_1"}),
            serde_json::json!([]),
            serde_json::json!(null),
            serde_json::json!("User"),
        ] {
            assert_eq!(key(bad.clone()), None, "{bad}");
        }
    }
}
