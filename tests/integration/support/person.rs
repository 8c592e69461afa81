//! People with accounts.

use std::ops::Deref;

use serde_json::{Value, json};

use super::{
    client::{Client, Payload, conversation_id_of},
    server::Server,
};

/// What a person who signs in gets.
pub const AUTH: &str = "accessToken refreshToken accessTokenExpiresAt viewer { id user { id username } }";

/// Somebody with an account, signed in on one device.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    /// `user_…`
    pub id: String,
    pub email: String,
    pub password: String,
    pub refresh_token: String,
    client: Client,
}

impl Deref for Person {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Person {
    pub(super) async fn register(server: &Server, name: &str) -> Self {
        let email = format!("{name}@example.org");
        let password = format!("the pass phrase of {name}");
        let input = json!({"username": name, "email": email, "password": password, "displayName": name});
        let payload = server.anonymous().mutate("register", input, AUTH).await;
        Self::signed_in(server.anonymous(), name, &email, &password, payload.ok())
    }

    fn signed_in(client: Client, name: &str, email: &str, password: &str, payload: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self {
            name: name.into(),
            id: text(&payload["viewer"]["user"]["id"]),
            email: email.into(),
            password: password.into(),
            refresh_token: text(&payload["refreshToken"]),
            client: client.with_token(&text(&payload["accessToken"])),
        }
    }

    /// Signs in on another device.
    pub async fn another_device(&self) -> Self {
        let payload = self.try_login(&self.name, &self.password).await;
        Self::signed_in(self.client.clone(), &self.name, &self.email, &self.password, payload.ok())
    }

    pub async fn try_login(&self, identifier: &str, password: &str) -> Payload {
        let anonymous = Client { token: None, ..self.client.clone() };
        anonymous.mutate("login", json!({"identifier": identifier, "password": password}), AUTH).await
    }

    /// The same person talking to another process.
    pub fn at(&self, server: &Server) -> Self {
        Self { client: self.client.at(server), ..self.clone() }
    }

    /// The same person by another road, e.g. a proxy's.
    pub fn via(&self, url: &str) -> Self {
        Self { client: self.client.via(url), ..self.clone() }
    }

    pub fn access_token(&self) -> &str {
        self.client.token.as_deref().expect("a person has a token")
    }

    /// Sends a friend invite by username.
    pub async fn invite(&self, other: &Person) -> Payload {
        self.invite_username(&other.name).await
    }

    pub async fn invite_username(&self, username: &str) -> Payload {
        let input = json!({"friend": {"username": username, "note": "It is me."}});
        let selection = "invite { id status kind note inviter { id } invitee { id } expiresAt } conversation { id }";
        self.mutate("sendInvite", input, selection).await
    }

    /// Answers an invite: `acceptInvite`, `rejectInvite` or `revokeInvite`.
    pub async fn answer_invite(&self, mutation: &str, invite_id: &str) -> Payload {
        let selection = "invite { id status respondedAt } conversation { id viewerCanSend }";
        self.mutate(mutation, json!({"inviteId": invite_id}), selection).await
    }

    /// Becomes friends with somebody, by invite and acceptance. Gives the conversation.
    pub async fn befriend(&self, other: &Person) -> String {
        let invited = self.invite(other).await;
        let invite_id = invited.ok()["invite"]["id"].as_str().expect("an invite").to_owned();
        let accepted = other.answer_invite("acceptInvite", &invite_id).await;
        conversation_id_of(accepted.ok())
    }

    /// Makes a group and gives its id.
    pub async fn create_group(&self, name: &str) -> String {
        let created = self.mutate("createGroup", json!({"name": name}), "group { id }").await;
        created.ok()["group"]["id"].as_str().expect("an id").to_owned()
    }

    /// Invites into a group somebody whom this person can see.
    pub async fn invite_to(&self, group: &str, other: &Person) -> Payload {
        let input = json!({"group": {"groupId": group, "username": other.name, "note": "Come in."}});
        self.mutate("sendInvite", input, "invite { id kind status group { id name } invitee { id } }").await
    }

    /// Brings a friend into a group, by invite and acceptance.
    pub async fn bring(&self, group: &str, friend: &Person) {
        let invited = self.invite_to(group, friend).await;
        let invite_id = invited.ok()["invite"]["id"].as_str().expect("an invite").to_owned();
        let accepted = friend.answer_invite("acceptInvite", &invite_id).await;
        assert_eq!(conversation_id_of(accepted.ok()), group);
    }

    /// `leaveGroup` or `deleteGroup`.
    pub async fn to_group(&self, mutation: &str, group: &str) -> Payload {
        let selection = if mutation == "deleteGroup" { "groupId" } else { "group { id }" };
        self.mutate(mutation, json!({"groupId": group}), selection).await
    }

    /// `removeMember` or `transferOwnership`.
    pub async fn to_member(&self, mutation: &str, group: &str, other: &Person) -> Payload {
        self.mutate(mutation, json!({"groupId": group, "userId": other.id}), "group { id viewerRole memberCount }")
            .await
    }

    /// Gives somebody a role in a group.
    pub async fn give_role(&self, group: &str, other: &Person, role: &str) -> Payload {
        let input = json!({"groupId": group, "userId": other.id, "role": role});
        self.mutate("changeMemberRole", input, "group { id viewerRole }").await
    }

    /// `removeFriend`, `blockUser` or `unblockUser`.
    pub async fn to_user(&self, mutation: &str, other: &Person) -> Payload {
        self.mutate(mutation, json!({"userId": other.id}), "user { id relationship }").await
    }

    /// How this person stands to somebody whom they can see.
    pub async fn relationship_to(&self, other: &Person) -> Value {
        let query = "query($id: ID!) { node(id: $id) { ... on User { relationship } } }";
        self.ask(query, json!({"id": other.id})).await["node"]["relationship"].take()
    }

    /// The statuses of invites in one direction, newest first.
    pub async fn invites(&self, direction: &str) -> Vec<Value> {
        let query = "query($direction: InviteDirection) { viewer { invites(direction: $direction, first: 50) {
            nodes { id status kind inviter { id } invitee { id } } } } }";
        let mut data = self.ask(query, json!({"direction": direction})).await;
        match data["viewer"]["invites"]["nodes"].take() {
            Value::Array(invites) => invites,
            other => panic!("invites are a list, not {other}"),
        }
    }

    /// `viewer` with the given selection.
    pub async fn viewer(&self, selection: &str) -> Value {
        self.ask(&format!("{{ viewer {{ {selection} }} }}"), json!({})).await["viewer"].take()
    }

    /// One's conversation with the given selection; null when there is none to see.
    pub async fn conversation(&self, id: &str, selection: &str) -> Value {
        let query = format!("query($id: ID!) {{ conversation(id: $id) {{ {selection} }} }}");
        self.ask(&query, json!({"id": id})).await["conversation"].take()
    }

    pub async fn set_typing(&self, conversation: &str, typing: bool) -> Payload {
        let input = json!({"conversationId": conversation, "typing": typing});
        self.mutate("setTyping", input, "").await
    }

    /// `addReaction` or `removeReaction`.
    pub async fn react(&self, mutation: &str, message: &Value, emoji: &str) -> Payload {
        let input = json!({"messageId": message["id"], "emoji": emoji});
        let selection = "messageEdge { node { id reactions { emoji count viewerHasReacted } } }";
        self.mutate(mutation, input, selection).await
    }

    pub async fn mark_read(&self, conversation: &str, sequence: i64) -> Payload {
        let input = json!({"conversationId": conversation, "sequence": sequence});
        self.mutate("markRead", input, "conversation { id unreadCount }").await
    }
}
