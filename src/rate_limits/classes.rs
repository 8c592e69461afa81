//! Which action each root field is.
//!
//! Most are counted here, for the viewer, before the operation begins; a verb that knows better whom or when to count
//! does it by itself. A mutation without a line stops the tests.

use super::{Action, RateLimits};
use crate::{auth::Caller, error::Error};

/// Where a root field is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Here, each time that an operation has it.
    Here(Action),
    /// In its verb, which may know that it is a repeat, or counts for somebody else than the viewer.
    InVerb(Action),
}

use Class::{Here, InVerb};

#[rustfmt::skip]
const CLASSES: &[(&str, Class)] = &[
    ("register", InVerb(Action::Register)),
    ("login", InVerb(Action::SignIn)),
    ("refreshSession", InVerb(Action::RefreshSession)),
    ("verifyEmail", InVerb(Action::UseMailToken)),
    ("requestEmailVerification", InVerb(Action::VerificationMail)),
    ("requestPasswordReset", InVerb(Action::ResetPassword)),
    ("resetPassword", InVerb(Action::UseMailToken)),
    ("changePassword", InVerb(Action::ChangePassword)),
    ("claimInvite", InVerb(Action::UseMailToken)),
    ("logout", Here(Action::ManageSessions)),
    ("revokeSession", Here(Action::ManageSessions)),
    ("updateProfile", Here(Action::ChangeProfile)),
    ("sendInvite", InVerb(Action::SendInvite)),
    ("acceptInvite", Here(Action::AnswerInvite)),
    ("rejectInvite", Here(Action::AnswerInvite)),
    ("revokeInvite", Here(Action::AnswerInvite)),
    ("removeFriend", Here(Action::ChangeFriends)),
    ("blockUser", Here(Action::ChangeFriends)),
    ("unblockUser", Here(Action::ChangeFriends)),
    ("sendMessage", InVerb(Action::SendMessage)),
    ("editMessage", Here(Action::ChangeMessage)),
    ("deleteMessage", Here(Action::ChangeMessage)),
    ("addReaction", Here(Action::React)),
    ("removeReaction", Here(Action::React)),
    ("markRead", Here(Action::MarkRead)),
    ("createGroup", InVerb(Action::CreateGroup)),
    ("createInviteLink", InVerb(Action::CreateInviteLink)),
    ("joinGroup", InVerb(Action::UseInviteLink)),
    ("updateGroup", Here(Action::ChangeGroup)),
    ("deleteGroup", Here(Action::ChangeGroup)),
    ("leaveGroup", Here(Action::ChangeGroup)),
    ("removeMember", Here(Action::ChangeGroup)),
    ("changeMemberRole", Here(Action::ChangeGroup)),
    ("transferOwnership", Here(Action::ChangeGroup)),
    ("revokeInviteLink", Here(Action::ChangeGroup)),
    ("setTyping", Here(Action::SetTyping)),
];

fn class_of(field: &str) -> Option<Class> {
    CLASSES.iter().find(|(name, _)| *name == field).map(|(_, class)| *class)
}

impl RateLimits {
    /// Counts the root fields of an operation that are counted for the viewer. Whoever is not signed in is refused by
    /// the fields.
    pub async fn check_fields(&self, fields: &[String], caller: &Caller) -> Result<(), Error> {
        let Ok(viewer) = caller.viewer() else { return Ok(()) };
        if !self.are_on() {
            return Ok(());
        }
        for field in fields {
            if let Some(Here(action)) = class_of(field) {
                self.check(action, &viewer.user_id().0.to_string()).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::{
        parse_schema,
        types::{TypeKind, TypeSystemDefinition},
    };

    use super::*;

    fn mutations() -> Vec<String> {
        let schema = parse_schema(crate::graphql::sdl()).expect("the schema can be read");
        let mut fields = Vec::new();
        for definition in &schema.definitions {
            if let TypeSystemDefinition::Type(definition) = definition
                && definition.node.name.node == "Mutation"
                && let TypeKind::Object(object) = &definition.node.kind
            {
                fields.extend(object.fields.iter().map(|field| field.node.name.node.to_string()));
            }
        }
        fields
    }

    #[test]
    fn every_mutation_is_limited() {
        let fields = mutations();
        assert!(fields.len() > 10, "{fields:?}");
        for field in &fields {
            assert!(class_of(field).is_some(), "the mutation {field} needs a line in rate_limits::classes");
        }
        for (idx, (name, _)) in CLASSES.iter().enumerate() {
            assert!(CLASSES[..idx].iter().all(|(other, _)| other != name), "{name} is there twice");
        }
    }

    #[test]
    fn every_action_is_counted_somewhere() {
        let mut sources = Vec::new();
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() && !path.ends_with("rate_limits") {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let source = std::fs::read_to_string(path).expect("a source");
                    sources.push(source.split_whitespace().collect::<String>());
                }
            }
        }
        let fields = mutations();
        for action in Action::ALL {
            // A mutation that is not there yet needs no verb yet.
            let to_come =
                |(name, class): &(&str, Class)| *class == InVerb(action) && !fields.iter().any(|field| field == name);
            if CLASSES.iter().any(to_come) {
                continue;
            }
            let here = CLASSES.iter().any(|(_, class)| *class == Here(action));
            let in_verb = sources.iter().any(|source| source.contains(&format!("check(Action::{action:?},")));
            assert!(here || in_verb, "{action:?} is counted nowhere");
        }
    }
}
