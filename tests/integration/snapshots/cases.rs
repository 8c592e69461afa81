//! Every mutation, by Alice on another of her devices and by those around her.

use serde_json::{Value, json};

use super::{
    Case, Stage,
    Told::{AllBut, Everything, NothingChanges},
};
use crate::support::*;

const SESSIONS: &str = "a list of devices is looked at rarely, and fetched then; no event tells of sessions";
const PROFILES: &str = "what is private of a profile is fetched when it is shown; events tell of names only";
const ACCOUNT: &str = "that an address is verified is looked at once, by whoever verifies it; no event tells of it";

const INVITED: &str = "only members hear of a group; an invite is fetched when it is shown";
const RECEIPTS: &str =
    "who switches read receipts fetches anew; what others saw before is not taken back from their screens";

const STRANGERS: &str = "how one stands to those whom one meets in a group is fetched with its members";
const GONE: &str =
    "how far somebody has read goes with their account; a tombstone has read nothing, and no event says so";

/// `case!("mutation", "by whom", Told, |stage| { … })`
macro_rules! case {
    ($mutation:literal, $what:literal, $told:expr, |$stage:ident| $play:block) => {
        Case { mutation: $mutation, what: $what, told: $told, play: |$stage| Box::pin(async move { $play }) }
    };
}

const PASSWORD: &str = "quite another pass phrase";

/// Asks for a new password for somebody, and gives the token from the mail.
async fn reset_token(stage: &Stage<'_>, person: &Person) -> String {
    let verify = json!({"token": stage.server.written_letter(&person.email, "Confirm").await.token()});
    stage.server.anonymous().mutate("verifyEmail", verify, "viewer { id }").await.ok();
    let request = json!({"email": person.email});
    stage.server.anonymous().mutate("requestPasswordReset", request, "").await.ok();
    stage.server.written_letter(&person.email, "Choose a new password").await.token()
}

/// Invites an address that is this case's, and gives the token from the mail.
async fn mailed_invite(from: &Person, server: &Server) -> String {
    let email = format!("{}@guests.example", from.name);
    from.mutate("sendInvite", json!({"email": {"email": email}}), "invite { id }").await.ok();
    server.written_letter(&email, "").await.token()
}

async fn invite_link(from: &Person, group: &str) -> Value {
    let made = from.mutate("createInviteLink", json!({"groupId": group}), "inviteLink { id code }").await;
    made.ok()["inviteLink"].clone()
}

async fn invite_id(from: &Person, to: &Person) -> String {
    from.invite(to).await.ok()["invite"]["id"].as_str().expect("an invite").to_owned()
}

pub const CASES: &[Case] = &[
    case!("register", "by somebody", NothingChanges, |stage| {
        stage.begin().await;
        stage.person("bob").await;
    }),
    case!("login", "on another device", AllBut(&["Viewer.sessions"], SESSIONS), |stage| {
        stage.begin().await;
        stage.alice.another_device().await;
    }),
    case!("refreshSession", "on another device", NothingChanges, |stage| {
        let other = stage.alice.another_device().await;
        stage.begin().await;
        let input = json!({"refreshToken": other.refresh_token});
        stage.server.anonymous().mutate("refreshSession", input, "accessToken").await.ok();
    }),
    case!("logout", "on another device", AllBut(&["Viewer.sessions"], SESSIONS), |stage| {
        let other = stage.alice.another_device().await;
        stage.begin().await;
        other.ask("mutation { logout { userErrors { code } } }", json!({})).await;
    }),
    case!("revokeSession", "of another device", AllBut(&["Viewer.sessions"], SESSIONS), |stage| {
        stage.alice.another_device().await;
        let sessions = stage.alice.viewer("sessions { id current }").await;
        let other = sessions["sessions"].as_array().expect("a list").iter().find(|one| one["current"] == false);
        let id = other.expect("another device")["id"].clone();
        stage.begin().await;
        stage.alice.mutate("revokeSession", json!({"sessionId": id}), "sessionId").await.ok();
    }),
    case!("updateProfile", "on another device", AllBut(&["Viewer.discoverable"], PROFILES), |stage| {
        stage.begin().await;
        let input = json!({"displayName": "Alice II", "discoverable": true});
        stage.alice.mutate("updateProfile", input, "viewer { id }").await.ok();
    }),
    case!("updateProfile", "by a friend", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        stage.begin().await;
        let input = json!({"displayName": "Robert", "username": format!("rob_{}", bob.name)});
        bob.mutate("updateProfile", input, "viewer { id }").await.ok();
    }),
    case!("register", "by whom Alice has invited by email", Everything, |stage| {
        let token = mailed_invite(&stage.alice, stage.server).await;
        stage.begin().await;
        let name = format!("new_{}", stage.alice.name);
        let input = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD,
            "inviteToken": token});
        stage.server.anonymous().mutate("register", input, "viewer { id }").await.ok();
    }),
    case!("deleteAccount", "by a friend", AllBut(&["Conversation.members"], GONE), |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        bob.send(&conversation, "a last word").await;
        stage.begin().await;
        bob.mutate("deleteAccount", json!({"password": bob.password}), "").await.ok();
    }),
    case!("deleteAccount", "by whom Alice has invited", Everything, |stage| {
        let bob = stage.person("bob").await;
        invite_id(&stage.alice, &bob).await;
        stage.begin().await;
        bob.mutate("deleteAccount", json!({"password": bob.password}), "").await.ok();
    }),
    case!("deleteAccount", "by whom Alice has blocked", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        stage.alice.to_user("blockUser", &bob).await.ok();
        stage.begin().await;
        bob.mutate("deleteAccount", json!({"password": bob.password}), "").await.ok();
    }),
    // An export is asked for until it is there; no event tells of it.
    case!("requestDataExport", "on another device", NothingChanges, |stage| {
        stage.begin().await;
        let request = "mutation { requestDataExport { dataExport { id } userErrors { code } } }";
        stage.alice.ask(request, json!({})).await;
    }),
    case!("verifyEmail", "on another device", AllBut(&["Viewer.emailVerified"], ACCOUNT), |stage| {
        let letter = stage.server.written_letter(&stage.alice.email, "Confirm").await;
        stage.begin().await;
        let input = json!({"token": letter.token()});
        stage.server.anonymous().mutate("verifyEmail", input, "viewer { id }").await.ok();
    }),
    case!("requestEmailVerification", "on another device", NothingChanges, |stage| {
        stage.begin().await;
        stage.alice.ask("mutation { requestEmailVerification { userErrors { code } } }", json!({})).await;
    }),
    case!("requestPasswordReset", "by whomever", NothingChanges, |stage| {
        stage.begin().await;
        let input = json!({"email": stage.alice.email});
        stage.server.anonymous().mutate("requestPasswordReset", input, "").await.ok();
    }),
    case!("resetPassword", "by a friend", NothingChanges, |stage| {
        // Alice's own would end what she listens by.
        let (bob, _) = stage.friend("bob").await;
        let token = reset_token(stage, &bob).await;
        stage.begin().await;
        let input = json!({"token": token, "newPassword": PASSWORD});
        stage.server.anonymous().mutate("resetPassword", input, "").await.ok();
    }),
    case!("changePassword", "on this device", AllBut(&["Viewer.sessions"], SESSIONS), |stage| {
        stage.alice.another_device().await;
        stage.begin().await;
        let input = json!({"currentPassword": stage.alice.password, "newPassword": PASSWORD});
        stage.alice.mutate("changePassword", input, "").await.ok();
    }),
    case!("sendInvite", "by email", Everything, |stage| {
        stage.begin().await;
        mailed_invite(&stage.alice, stage.server).await;
    }),
    case!("claimInvite", "on another device", Everything, |stage| {
        let bob = stage.person("bob").await;
        let token = mailed_invite(&bob, stage.server).await;
        stage.begin().await;
        stage.alice.mutate("claimInvite", json!({"token": token}), "invite { id }").await.ok();
    }),
    case!("claimInvite", "by whom Alice has invited", Everything, |stage| {
        let bob = stage.person("bob").await;
        let token = mailed_invite(&stage.alice, stage.server).await;
        stage.begin().await;
        bob.mutate("claimInvite", json!({"token": token}), "invite { id }").await.ok();
    }),
    case!("acceptInvite", "by whom Alice has invited by email", Everything, |stage| {
        let bob = stage.person("bob").await;
        let token = mailed_invite(&stage.alice, stage.server).await;
        let claimed = bob.mutate("claimInvite", json!({"token": token}), "invite { id }").await;
        let id = claimed.ok()["invite"]["id"].as_str().expect("an id").to_owned();
        stage.begin().await;
        bob.answer_invite("acceptInvite", &id).await.ok();
    }),
    case!("sendInvite", "on another device", Everything, |stage| {
        let bob = stage.person("bob").await;
        stage.begin().await;
        stage.alice.invite(&bob).await.ok();
    }),
    case!("sendInvite", "by somebody", Everything, |stage| {
        let bob = stage.person("bob").await;
        stage.begin().await;
        bob.invite(&stage.alice).await.ok();
    }),
    case!("sendInvite", "crossing the other's", Everything, |stage| {
        let bob = stage.person("bob").await;
        stage.alice.invite(&bob).await.ok();
        stage.begin().await;
        bob.invite(&stage.alice).await.ok();
    }),
    case!("sendInvite", "by somebody whom Alice has blocked", NothingChanges, |stage| {
        let (bob, _) = stage.friend("bob").await;
        stage.alice.to_user("blockUser", &bob).await.ok();
        stage.begin().await;
        bob.invite(&stage.alice).await.ok();
    }),
    case!("acceptInvite", "on another device", Everything, |stage| {
        let bob = stage.person("bob").await;
        let id = invite_id(&bob, &stage.alice).await;
        stage.begin().await;
        stage.alice.answer_invite("acceptInvite", &id).await.ok();
    }),
    case!("acceptInvite", "by whom Alice has invited", Everything, |stage| {
        let bob = stage.person("bob").await;
        let id = invite_id(&stage.alice, &bob).await;
        stage.begin().await;
        bob.answer_invite("acceptInvite", &id).await.ok();
    }),
    case!("acceptInvite", "by a friend of old", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        bob.send(&conversation, "before").await;
        bob.to_user("removeFriend", &stage.alice).await.ok();
        let id = invite_id(&stage.alice, &bob).await;
        stage.begin().await;
        bob.answer_invite("acceptInvite", &id).await.ok();
    }),
    case!("rejectInvite", "on another device", Everything, |stage| {
        let bob = stage.person("bob").await;
        let id = invite_id(&bob, &stage.alice).await;
        stage.begin().await;
        stage.alice.answer_invite("rejectInvite", &id).await.ok();
    }),
    case!("rejectInvite", "by whom Alice has invited", Everything, |stage| {
        let bob = stage.person("bob").await;
        let id = invite_id(&stage.alice, &bob).await;
        stage.begin().await;
        bob.answer_invite("rejectInvite", &id).await.ok();
    }),
    case!("revokeInvite", "on another device", Everything, |stage| {
        let bob = stage.person("bob").await;
        let id = invite_id(&stage.alice, &bob).await;
        stage.begin().await;
        stage.alice.answer_invite("revokeInvite", &id).await.ok();
    }),
    case!("revokeInvite", "by whom it is from", Everything, |stage| {
        let bob = stage.person("bob").await;
        let id = invite_id(&bob, &stage.alice).await;
        stage.begin().await;
        bob.answer_invite("revokeInvite", &id).await.ok();
    }),
    case!("removeFriend", "on another device", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        stage.begin().await;
        stage.alice.to_user("removeFriend", &bob).await.ok();
    }),
    case!("removeFriend", "by the friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        bob.send(&conversation, "a last word").await;
        stage.begin().await;
        bob.to_user("removeFriend", &stage.alice).await.ok();
    }),
    case!("blockUser", "of a friend, on another device", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        stage.begin().await;
        stage.alice.to_user("blockUser", &bob).await.ok();
    }),
    case!("blockUser", "of who has invited Alice, on another device", Everything, |stage| {
        let bob = stage.person("bob").await;
        bob.invite(&stage.alice).await.ok();
        stage.begin().await;
        stage.alice.to_user("blockUser", &bob).await.ok();
    }),
    case!("blockUser", "of whom Alice has invited, on another device", Everything, |stage| {
        let bob = stage.person("bob").await;
        stage.alice.invite(&bob).await.ok();
        stage.begin().await;
        stage.alice.to_user("blockUser", &bob).await.ok();
    }),
    case!("blockUser", "by a friend", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        stage.begin().await;
        bob.to_user("blockUser", &stage.alice).await.ok();
    }),
    case!("blockUser", "by whom Alice has invited", NothingChanges, |stage| {
        let bob = stage.person("bob").await;
        stage.alice.invite(&bob).await.ok();
        stage.begin().await;
        bob.to_user("blockUser", &stage.alice).await.ok();
    }),
    case!("unblockUser", "on another device", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        stage.alice.to_user("blockUser", &bob).await.ok();
        stage.begin().await;
        stage.alice.to_user("unblockUser", &bob).await.ok();
    }),
    case!("unblockUser", "by who has blocked Alice", NothingChanges, |stage| {
        let (bob, _) = stage.friend("bob").await;
        bob.to_user("blockUser", &stage.alice).await.ok();
        stage.begin().await;
        bob.to_user("unblockUser", &stage.alice).await.ok();
    }),
    case!("sendMessage", "on another device", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        bob.send(&conversation, "unread until she answers").await;
        stage.begin().await;
        stage.alice.send(&conversation, "hello").await;
    }),
    case!("sendMessage", "by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let (carol, elsewhere) = stage.friend("carol").await;
        bob.send(&conversation, "one").await;
        carol.send(&elsewhere, "more recent").await;
        stage.begin().await;
        bob.send(&conversation, "two").await;
    }),
    case!("sendMessage", "as an answer to one", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let question = stage.alice.send(&conversation, "one or two?").await;
        stage.begin().await;
        let input = json!({"conversationId": conversation, "body": "two", "replyToId": question["id"]});
        bob.send_input(input).await.ok();
    }),
    case!("editMessage", "on another device", Everything, |stage| {
        let (_, conversation) = stage.friend("bob").await;
        let message = stage.alice.send(&conversation, "helo").await;
        stage.begin().await;
        let input = json!({"messageId": message["id"], "body": "hello"});
        stage.alice.mutate("editMessage", input, "messageEdge { cursor }").await.ok();
    }),
    case!("editMessage", "by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = bob.send(&conversation, "helo").await;
        bob.send(&conversation, "a later one").await;
        stage.begin().await;
        let input = json!({"messageId": message["id"], "body": "hello"});
        bob.mutate("editMessage", input, "messageEdge { cursor }").await.ok();
    }),
    case!("deleteMessage", "on another device", Everything, |stage| {
        let (_, conversation) = stage.friend("bob").await;
        let message = stage.alice.send(&conversation, "oh").await;
        stage.begin().await;
        let input = json!({"messageId": message["id"]});
        stage.alice.mutate("deleteMessage", input, "messageEdge { cursor }").await.ok();
    }),
    case!("addReaction", "on another device", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = bob.send(&conversation, "do you like it?").await;
        stage.begin().await;
        stage.alice.react("addReaction", &message, "👍").await.ok();
    }),
    case!("addReaction", "by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = stage.alice.send(&conversation, "do you like it?").await;
        stage.alice.react("addReaction", &message, "👍").await.ok();
        stage.begin().await;
        bob.react("addReaction", &message, "👍").await.ok();
        bob.react("addReaction", &message, "❤️").await.ok();
    }),
    case!("addReaction", "by a friend, again", NothingChanges, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = stage.alice.send(&conversation, "do you like it?").await;
        bob.react("addReaction", &message, "👍").await.ok();
        stage.begin().await;
        bob.react("addReaction", &message, "👍").await.ok();
    }),
    case!("removeReaction", "on another device", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = bob.send(&conversation, "do you like it?").await;
        stage.alice.react("addReaction", &message, "👍").await.ok();
        stage.begin().await;
        stage.alice.react("removeReaction", &message, "👍").await.ok();
    }),
    case!("removeReaction", "by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = stage.alice.send(&conversation, "do you like it?").await;
        for person in [&stage.alice, &bob] {
            person.react("addReaction", &message, "👍").await.ok();
        }
        stage.begin().await;
        bob.react("removeReaction", &message, "👍").await.ok();
    }),
    case!("deleteMessage", "with reactions, by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = bob.send(&conversation, "oh").await;
        stage.alice.react("addReaction", &message, "👍").await.ok();
        stage.begin().await;
        let input = json!({"messageId": message["id"]});
        bob.mutate("deleteMessage", input, "messageEdge { cursor }").await.ok();
    }),
    case!("deleteMessage", "by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = bob.send(&conversation, "oh").await;
        stage.begin().await;
        let input = json!({"messageId": message["id"]});
        bob.mutate("deleteMessage", input, "messageEdge { cursor }").await.ok();
    }),
    case!("createGroup", "on another device", Everything, |stage| {
        stage.begin().await;
        stage.alice.create_group("Chess").await;
    }),
    case!("sendInvite", "into a group, by a friend", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        stage.begin().await;
        bob.invite_to(&group, &stage.alice).await.ok();
    }),
    case!("acceptInvite", "into a group, on another device", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.send(&group, "before her time").await;
        let invited = bob.invite_to(&group, &stage.alice).await;
        let id = invited.ok()["invite"]["id"].as_str().expect("an id").to_owned();
        stage.begin().await;
        stage.alice.answer_invite("acceptInvite", &id).await.ok();
    }),
    case!("acceptInvite", "into Alice's group, by whom another admin has invited", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let carol = stage.person("carol").await;
        bob.befriend(&carol).await;
        let group = bob.create_group("Chess").await;
        bob.bring(&group, &stage.alice).await;
        let invited = bob.invite_to(&group, &carol).await;
        let id = invited.ok()["invite"]["id"].as_str().expect("an id").to_owned();
        stage.begin().await;
        carol.answer_invite("acceptInvite", &id).await.ok();
    }),
    // Links are listed in the group's settings and fetched there; the snapshot has none.
    case!("createInviteLink", "on another device", NothingChanges, |stage| {
        let group = stage.alice.create_group("Chess").await;
        stage.begin().await;
        invite_link(&stage.alice, &group).await;
    }),
    case!("revokeInviteLink", "on another device", NothingChanges, |stage| {
        let group = stage.alice.create_group("Chess").await;
        let link = invite_link(&stage.alice, &group).await;
        stage.begin().await;
        let input = json!({"inviteLinkId": link["id"]});
        stage.alice.mutate("revokeInviteLink", input, "inviteLink { id }").await.ok();
    }),
    case!("joinGroup", "on another device", AllBut(&["User.relationship"], STRANGERS), |stage| {
        let bob = stage.person("bob").await;
        let group = bob.create_group("Chess").await;
        bob.send(&group, "before her time").await;
        let link = invite_link(&bob, &group).await;
        stage.begin().await;
        stage.alice.mutate("joinGroup", json!({"code": link["code"]}), "group { id }").await.ok();
    }),
    case!("joinGroup", "by somebody", Everything, |stage| {
        let bob = stage.person("bob").await;
        let group = stage.alice.create_group("Chess").await;
        let link = invite_link(&stage.alice, &group).await;
        stage.begin().await;
        bob.mutate("joinGroup", json!({"code": link["code"]}), "group { id }").await.ok();
    }),
    case!("updateGroup", "on another device", Everything, |stage| {
        let group = stage.alice.create_group("Chess").await;
        stage.begin().await;
        let input = json!({"groupId": group, "name": "Go", "description": "On Mondays."});
        stage.alice.mutate("updateGroup", input, "group { id }").await.ok();
    }),
    case!("updateGroup", "by the owner", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.bring(&group, &stage.alice).await;
        stage.begin().await;
        bob.mutate("updateGroup", json!({"groupId": group, "name": "Go"}), "group { id }").await.ok();
    }),
    case!("updateGroup", "of a group that Alice is invited to", AllBut(&["Group.name"], INVITED), |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.invite_to(&group, &stage.alice).await.ok();
        stage.begin().await;
        bob.mutate("updateGroup", json!({"groupId": group, "name": "Go"}), "group { id }").await.ok();
    }),
    case!("deleteGroup", "on another device", Everything, |stage| {
        let group = stage.alice.create_group("Chess").await;
        stage.begin().await;
        stage.alice.to_group("deleteGroup", &group).await.ok();
    }),
    case!("deleteGroup", "by the owner", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.bring(&group, &stage.alice).await;
        bob.send(&group, "unread").await;
        stage.begin().await;
        bob.to_group("deleteGroup", &group).await.ok();
    }),
    case!("deleteGroup", "of a group that Alice is invited to", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.invite_to(&group, &stage.alice).await.ok();
        stage.begin().await;
        bob.to_group("deleteGroup", &group).await.ok();
    }),
    case!("leaveGroup", "on another device", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.bring(&group, &stage.alice).await;
        stage.begin().await;
        stage.alice.to_group("leaveGroup", &group).await.ok();
    }),
    case!("leaveGroup", "by another", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = stage.alice.create_group("Chess").await;
        stage.alice.bring(&group, &bob).await;
        stage.begin().await;
        bob.to_group("leaveGroup", &group).await.ok();
    }),
    case!("removeMember", "of Alice", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.bring(&group, &stage.alice).await;
        bob.send(&group, "unread").await;
        stage.begin().await;
        bob.to_member("removeMember", &group, &stage.alice).await.ok();
    }),
    case!("removeMember", "of another", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = stage.alice.create_group("Chess").await;
        stage.alice.bring(&group, &bob).await;
        stage.begin().await;
        stage.alice.to_member("removeMember", &group, &bob).await.ok();
    }),
    case!("changeMemberRole", "of Alice", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.bring(&group, &stage.alice).await;
        stage.begin().await;
        bob.give_role(&group, &stage.alice, "ADMIN").await.ok();
    }),
    case!("changeMemberRole", "of another", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = stage.alice.create_group("Chess").await;
        stage.alice.bring(&group, &bob).await;
        stage.begin().await;
        stage.alice.give_role(&group, &bob, "ADMIN").await.ok();
    }),
    case!("transferOwnership", "on another device", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = stage.alice.create_group("Chess").await;
        stage.alice.bring(&group, &bob).await;
        stage.begin().await;
        stage.alice.to_member("transferOwnership", &group, &bob).await.ok();
    }),
    case!("transferOwnership", "to Alice", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = bob.create_group("Chess").await;
        bob.bring(&group, &stage.alice).await;
        stage.begin().await;
        bob.to_member("transferOwnership", &group, &stage.alice).await.ok();
    }),
    case!("sendMessage", "in a group, by another", Everything, |stage| {
        let (bob, _) = stage.friend("bob").await;
        let group = stage.alice.create_group("Chess").await;
        stage.alice.bring(&group, &bob).await;
        stage.begin().await;
        bob.send(&group, "e4").await;
    }),
    case!("addReaction", "on another device", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = bob.send(&conversation, "we won").await;
        stage.begin().await;
        stage.alice.react("addReaction", &message, "🎉").await.ok();
    }),
    case!("addReaction", "by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = stage.alice.send(&conversation, "we won").await;
        stage.alice.react("addReaction", &message, "🎉").await.ok();
        stage.begin().await;
        bob.react("addReaction", &message, "🎉").await.ok();
    }),
    case!("removeReaction", "on another device", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = bob.send(&conversation, "we won").await;
        bob.react("addReaction", &message, "🎉").await.ok();
        stage.alice.react("addReaction", &message, "🎉").await.ok();
        stage.begin().await;
        stage.alice.react("removeReaction", &message, "🎉").await.ok();
    }),
    case!("removeReaction", "by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        let message = bob.send(&conversation, "we won").await;
        bob.react("addReaction", &message, "🎉").await.ok();
        stage.begin().await;
        bob.react("removeReaction", &message, "🎉").await.ok();
    }),
    case!(
        "updateProfile",
        "with read receipts switched off, on another device",
        AllBut(&["Conversation.members", "Viewer.readReceipts"], RECEIPTS),
        |stage| {
            let (bob, conversation) = stage.friend("bob").await;
            stage.alice.send(&conversation, "read this").await;
            bob.mark_read(&conversation, 1).await.ok();
            stage.begin().await;
            stage.alice.mutate("updateProfile", json!({"readReceipts": false}), "viewer { id }").await.ok();
        }
    ),
    case!("updateProfile", "with read receipts switched off, by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        stage.alice.send(&conversation, "read this").await;
        bob.mark_read(&conversation, 1).await.ok();
        stage.begin().await;
        bob.mutate("updateProfile", json!({"readReceipts": false}), "viewer { id }").await.ok();
    }),
    case!("markRead", "on another device", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        for n in 0..3 {
            bob.send(&conversation, &format!("{n}")).await;
        }
        stage.begin().await;
        stage.alice.mark_read(&conversation, 2).await.ok();
    }),
    case!("markRead", "by a friend", Everything, |stage| {
        let (bob, conversation) = stage.friend("bob").await;
        stage.alice.send(&conversation, "read this").await;
        stage.begin().await;
        bob.mark_read(&conversation, 1).await.ok();
    }),
    case!("setTyping", "by a friend", NothingChanges, |stage| {
        let bob = stage.person("bob").await;
        let conversation = stage.alice.befriend(&bob).await;
        stage.begin().await;
        bob.set_typing(&conversation, true).await.ok();
    }),
];
