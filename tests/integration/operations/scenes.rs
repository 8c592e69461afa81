//! For each operation of the shelf: who runs it, and what takes the places of its placeholders.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::*;

/// The people of the examples, who are friends, and others as they are needed.
pub struct Cast<'a> {
    server: &'a Server,
    pub ada: Person,
    pub grace: Person,
    /// Ada's and Grace's.
    pub conversation: String,
    n_extras: AtomicUsize,
}

/// How an operation is run.
pub struct Scene {
    pub who: Client,
    /// Places in the variables (JSON pointers) with what belongs there.
    pub filled: Vec<(&'static str, String)>,
}

impl Scene {
    fn of(who: &Client) -> Self {
        Self { who: who.clone(), filled: Vec::new() }
    }

    fn with(mut self, place: &'static str, value: impl Into<String>) -> Self {
        self.filled.push((place, value.into()));
        self
    }
}

impl<'a> Cast<'a> {
    pub async fn of(server: &'a Server) -> Self {
        let (ada, grace, conversation) = server.friends("ada", "grace").await;
        let opt_in = json!({"discoverable": true});
        grace.mutate("updateProfile", opt_in, "viewer { discoverable }").await.ok();
        ada.send(&conversation, "hello").await;
        Self { server, ada, grace, conversation, n_extras: AtomicUsize::new(0) }
    }

    /// The scene of an operation; none when nobody has thought of one.
    pub async fn scene(&self, operation: &str) -> Option<Scene> {
        let (ada, grace, conversation) = (&self.ada, &self.grace, &self.conversation);
        let anonymous = self.server.anonymous();
        Some(match operation {
            "accounts/server" => Scene::of(&anonymous),
            "accounts/register" => {
                Scene::of(&anonymous).with("/input/username", "newcomer").with("/input/email", "newcomer@example.com")
            }
            "accounts/login" => Scene::of(&anonymous).with("/input/password", &ada.password),
            "accounts/viewer" | "accounts/sessions" => Scene::of(ada),
            "accounts/refresh-session" => {
                Scene::of(&anonymous).with("/input/refreshToken", self.extra().await.refresh_token)
            }
            "accounts/revoke-session" => {
                let person = self.extra().await;
                let phone = person.another_device().await;
                let session = phone.viewer("sessions { id current }").await["sessions"][0].take();
                assert_eq!(session["current"], true);
                Scene::of(&person).with("/input/sessionId", id_of(&session))
            }
            "accounts/logout"
            | "accounts/update-profile"
            | "accounts/request-email-verification"
            | "accounts/request-data-export" => self.by_somebody().await,
            "accounts/verify-email" => {
                let person = self.extra().await;
                Scene::of(&anonymous).with("/input/token", self.token_to(&person.email, "Confirm").await)
            }
            "accounts/change-password" => {
                let person = self.extra().await;
                Scene::of(&person).with("/input/currentPassword", &person.password)
            }
            "accounts/request-password-reset" => Scene::of(&anonymous),
            "accounts/reset-password" => {
                let person = self.extra().await;
                let token = self.token_to(&person.email, "Confirm").await;
                person.mutate("verifyEmail", json!({"token": token}), "").await.ok();
                person.mutate("requestPasswordReset", json!({"email": person.email}), "").await.ok();
                Scene::of(&anonymous).with("/input/token", self.token_to(&person.email, "Choose").await)
            }
            "accounts/data-export" => {
                let person = self.extra().await;
                let request = "mutation { requestDataExport { dataExport { id } } }";
                person.ask(request, json!({})).await;
                Scene::of(&person)
            }
            "accounts/delete-account" => {
                let person = self.extra().await;
                Scene::of(&person).with("/input/password", &person.password)
            }

            "users/find-user" | "users/search-users" => Scene::of(ada),
            "users/node" => Scene::of(ada).with("/id", &grace.id),
            "users/nodes" => Scene::of(ada).with("/ids/0", &grace.id).with("/ids/1", conversation),

            "friends/friends" => Scene::of(ada),
            "friends/remove-friend" | "friends/block-user" => {
                let (person, friend, _) = self.pair().await;
                Scene::of(&person).with("/input/userId", friend.id)
            }
            "friends/blocked-users" => {
                let (person, friend, _) = self.pair().await;
                person.to_user("blockUser", &friend).await.ok();
                Scene::of(&person)
            }
            "friends/unblock-user" => {
                let (person, friend, _) = self.pair().await;
                person.to_user("blockUser", &friend).await.ok();
                Scene::of(&person).with("/input/userId", friend.id)
            }

            "invites/send-invite" | "invites/invite-by-email" => self.by_somebody().await,
            "invites/incoming-invites" => {
                let (_, invitee, _) = self.invite().await;
                Scene::of(&invitee)
            }
            "invites/accept-invite" | "invites/reject-invite" => {
                let (_, invitee, invite) = self.invite().await;
                Scene::of(&invitee).with("/input/inviteId", invite)
            }
            "invites/revoke-invite" => {
                let (inviter, _, invite) = self.invite().await;
                Scene::of(&inviter).with("/input/inviteId", invite)
            }
            "invites/outgoing-invites" => {
                let (inviter, ..) = self.invite().await;
                Scene::of(&inviter)
            }
            "invites/register-with-invite" => Scene::of(&anonymous)
                .with("/input/username", "invitee")
                .with("/input/email", "invitee@example.com")
                .with("/input/inviteToken", self.token_of_invite("invitee@example.com").await),
            "invites/claim-invite" => {
                let token = self.token_of_invite("somebody@example.com").await;
                self.by_somebody().await.with("/input/token", token)
            }

            "groups/create-group" => Scene::of(ada),
            "groups/invite-to-group" => Scene::of(ada).with("/input/group/groupId", ada.create_group("Of one").await),
            "groups/create-invite-link" | "groups/update-group" | "groups/delete-group" => {
                Scene::of(ada).with("/input/groupId", self.group().await)
            }
            "groups/preview-invite-link" => {
                let (_, code) = self.link().await;
                Scene::of(grace).with("/code", code)
            }
            "groups/join-group" => {
                let (_, code) = self.link().await;
                self.by_somebody().await.with("/input/code", code)
            }
            "groups/manage-group" => Scene::of(ada).with("/id", self.group().await),
            "groups/change-member-role" | "groups/remove-member" | "groups/transfer-ownership" => {
                Scene::of(ada).with("/input/groupId", self.group().await).with("/input/userId", &grace.id)
            }
            "groups/revoke-invite-link" => {
                let (link, _) = self.link().await;
                Scene::of(ada).with("/input/inviteLinkId", link)
            }
            "groups/leave-group" => Scene::of(grace).with("/input/groupId", self.group().await),

            "conversations/conversations" => Scene::of(ada),
            "conversations/conversation" | "conversations/members" => Scene::of(ada).with("/id", conversation),
            "conversations/mark-read" => {
                let (person, friend, conversation) = self.pair().await;
                person.send(&conversation, "Have you read this?").await;
                Scene::of(&friend).with("/input/conversationId", conversation)
            }
            "conversations/read-receipts" | "messages/message-events" | "typing/typing" => {
                Scene::of(ada).with("/conversationId", conversation)
            }

            "messages/send-message" | "typing/set-typing" => Scene::of(ada).with("/input/conversationId", conversation),
            "messages/reply" => Scene::of(ada)
                .with("/input/conversationId", conversation)
                .with("/input/replyToId", self.message().await),
            "messages/edit-message" | "messages/delete-message" | "messages/add-reaction" => {
                Scene::of(ada).with("/input/messageId", self.message().await)
            }
            "messages/remove-reaction" => {
                let message = self.message().await;
                ada.react("addReaction", &json!({"id": message}), "👍").await.ok();
                Scene::of(ada).with("/input/messageId", message)
            }
            "messages/message" => {
                let message = self.message().await;
                grace.mark_read(conversation, i32::MAX.into()).await.ok();
                Scene::of(ada).with("/id", message)
            }
            "messages/search-messages" => Scene::of(ada),

            "presence/presence" | "events/events" => Scene::of(ada),
            _ => return None,
        })
    }

    /// Makes happen what a subscription tells of; again and again, until it is heard.
    pub async fn make_happen(&self, subscription: &str, attempt: usize) {
        match subscription {
            "conversations/read-receipts" => {
                let message = self.ada.send(&self.conversation, "Have you read this?").await;
                let sequence = message["sequence"].as_i64().expect("a number");
                self.grace.mark_read(&self.conversation, sequence).await.ok();
            }
            "messages/message-events" | "events/events" => {
                self.grace.send(&self.conversation, "Can you hear me?").await;
            }
            "typing/typing" => {
                self.grace.set_typing(&self.conversation, attempt.is_multiple_of(2)).await.ok();
            }
            // It begins with who is there now.
            "presence/presence" => {}
            _ => panic!("nobody has said what {subscription} tells of: see tests/integration/operations/scenes.rs"),
        }
    }

    /// By somebody new.
    async fn by_somebody(&self) -> Scene {
        let person = self.extra().await;
        Scene::of(&person)
    }

    async fn extra(&self) -> Person {
        let n = self.n_extras.fetch_add(1, Ordering::Relaxed);
        self.server.person(&format!("extra_{n}")).await
    }

    /// Two people who are friends, and their conversation.
    async fn pair(&self) -> (Person, Person, String) {
        let (one, other) = tokio::join!(self.extra(), self.extra());
        let conversation = one.befriend(&other).await;
        (one, other, conversation)
    }

    /// Who invites, who is invited, and the invite that waits.
    async fn invite(&self) -> (Person, Person, String) {
        let (inviter, invitee) = tokio::join!(self.extra(), self.extra());
        let invited = inviter.invite(&invitee).await;
        let invite = id_of(&invited.ok()["invite"]);
        (inviter, invitee, invite)
    }

    /// A group of Ada's, with Grace in it.
    async fn group(&self) -> String {
        let group = self.ada.create_group("Reading group").await;
        self.ada.bring(&group, &self.grace).await;
        group
    }

    /// The id and the code of a link into a group of Ada's.
    async fn link(&self) -> (String, String) {
        let group = self.ada.create_group("Open").await;
        let made = self.ada.mutate("createInviteLink", json!({"groupId": group}), "inviteLink { id code }").await;
        let link = &made.ok()["inviteLink"];
        (id_of(link), link["code"].as_str().expect("a code").to_owned())
    }

    /// A message that Ada wrote to Grace.
    async fn message(&self) -> String {
        id_of(&self.ada.send(&self.conversation, "hello").await)
    }

    async fn token_of_invite(&self, address: &str) -> String {
        let input = json!({"email": {"email": address, "note": "It is me."}});
        self.ada.mutate("sendInvite", input, "invite { id }").await.ok();
        self.token_to(address, "").await
    }

    async fn token_to(&self, address: &str, subject: &str) -> String {
        self.server.written_letter(address, subject).await.token()
    }
}

fn id_of(node: &Value) -> String {
    node["id"].as_str().expect("an id").to_owned()
}
