//! What is counted: the one list. A line of [`actions`] is all that a new class of action needs, beside the call of
//! [`super::RateLimits::check`] in its verb.

use std::{fmt, str::FromStr, sync::LazyLock, time::Duration};

use async_graphql::Enum;

/// Whom an action is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// The client's address, see [`super::address`].
    Address,
    /// The account that is asked about, and the client's address.
    AccountAndAddress,
    /// The viewer, over all of their devices.
    Viewer,
    /// The mailbox that a mail would go to.
    Mailbox,
}

/// How often: this many at once, and as many again in each period, steadily.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub limit: u32,
    pub period: Duration,
}

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $limit:literal / $seconds:literal s $per:ident, $message:literal;)+) => {
        /// A class of actions whose number is limited. New values may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
        #[graphql(name = "RateLimitedAction")]
        pub enum Action {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Action {
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// As the schema, `extensions.action` and metrics call it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The environment variable that changes it.
            pub const fn setting(self) -> &'static str {
                match self { $(Self::$variant => concat!("KITH_RATE_LIMIT_", $name),)+ }
            }

            /// What holds when nothing is set.
            pub const fn default_rule(self) -> Rule {
                match self { $(Self::$variant => Rule { limit: $limit, period: Duration::from_secs($seconds) },)+ }
            }

            /// Whom it is counted for.
            pub const fn per(self) -> Per {
                match self { $(Self::$variant => Per::$per,)+ }
            }

            /// Says to a person what there was too much of.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)+ }
            }
        }
    };
}

// Name in the wire's spelling, how many, per how many seconds, counted for whom; what a person is told.
actions! {
    /// `register`.
    Register "REGISTER" 100 / 3600 s Address, "Too many accounts were made from this address.";
    /// A try to sign in to one account from one address: a stranger who guesses cannot lock the owner out.
    SignIn "SIGN_IN" 10 / 60 s AccountAndAddress, "Too many tries to sign in.";
    /// A try to sign in from one address, to whatever account.
    SignInFromAddress "SIGN_IN_FROM_ADDRESS" 120 / 60 s Address, "Too many tries to sign in from this address.";
    /// `refreshSession`. The tokens cannot be guessed; this bounds the work.
    RefreshSession "REFRESH_SESSION" 200 / 20 s Address, "Too many sessions are refreshed from this address.";
    /// `verifyEmail`, `resetPassword` and `claimInvite`. The tokens cannot be guessed; this bounds the work.
    UseMailToken "USE_MAIL_TOKEN" 60 / 120 s Address, "Too many links from mails are used from this address.";
    /// `requestPasswordReset`, from one address, for whatever mailbox.
    ResetFromAddress "RESET_FROM_ADDRESS" 30 / 600 s Address, "Too many new passwords are asked for from this address.";
    /// `requestPasswordReset`, for one mailbox, whether or not it has an account.
    ResetPassword "RESET_PASSWORD" 5 / 3600 s Mailbox, "A new password for this address was asked for too often.";
    /// Mails that ask a mailbox whether it is an account's, whoever claims it. What is too much is not sent, and nobody told.
    VerifyMailbox "VERIFY_MAILBOX" 10 / 86400 s Mailbox, "Too many accounts claim this address.";
    /// `requestEmailVerification`.
    VerificationMail "VERIFICATION_MAIL" 5 / 3600 s Viewer, "You have asked for too many mails.";
    /// `changePassword` with a wrong password: who holds a stolen token does not guess at leisure.
    ChangePassword "CHANGE_PASSWORD" 10 / 60 s Viewer, "Too many tries to change the password.";
    /// `user(username)` and `searchUsers`.
    Discovery "DISCOVERY" 30 / 60 s Viewer, "You look for people too often.";
    /// `sendInvite`.
    SendInvite "SEND_INVITE" 30 / 1800 s Viewer, "You have sent too many invites.";
    /// `sendInvite` by email, to one mailbox, whoever invites.
    MailInvite "MAIL_INVITE" 5 / 18000 s Mailbox, "Too many invites were sent to this address.";
    /// `createGroup`.
    CreateGroup "CREATE_GROUP" 20 / 1200 s Viewer, "You have made too many groups.";
    /// `createInviteLink`.
    CreateInviteLink "CREATE_INVITE_LINK" 30 / 900 s Viewer, "You have made too many invite links.";
    /// `inviteLink(code)` and `joinGroup`. The codes cannot be guessed; this bounds the work.
    UseInviteLink "USE_INVITE_LINK" 30 / 60 s Viewer, "You try invite links too often.";
    /// `addReaction` and `removeReaction`.
    React "REACT" 60 / 15 s Viewer, "You react to messages too fast.";
    /// `searchMessages`.
    SearchMessages "SEARCH_MESSAGES" 30 / 30 s Viewer, "You search too often.";
    /// `acceptInvite`, `rejectInvite` and `revokeInvite`.
    AnswerInvite "ANSWER_INVITE" 60 / 60 s Viewer, "You answer invites too fast.";
    /// `removeFriend`, `blockUser` and `unblockUser`.
    ChangeFriends "CHANGE_FRIENDS" 60 / 60 s Viewer, "You change your friendships too fast.";
    /// `sendMessage`. A repeat of an earlier send is answered in any case.
    SendMessage "SEND_MESSAGE" 100 / 5 s Viewer, "You send messages too fast.";
    /// `editMessage` and `deleteMessage`.
    ChangeMessage "CHANGE_MESSAGE" 60 / 30 s Viewer, "You change messages too fast.";
    /// `markRead`.
    MarkRead "MARK_READ" 300 / 60 s Viewer, "Your read positions move too fast.";
    /// A change of a group by one of its members, an end of it or of an invite link, or leaving it.
    ChangeGroup "CHANGE_GROUP" 60 / 60 s Viewer, "You change groups too fast.";
    /// `setTyping`. What is told of it is bounded by itself.
    SetTyping "SET_TYPING" 300 / 30 s Viewer, "You say too often that you type.";
    /// A subscription that begins, on whatever transport.
    Subscribe "SUBSCRIBE" 600 / 60 s Viewer, "You start subscriptions too fast.";
    /// `updateProfile`.
    ChangeProfile "CHANGE_PROFILE" 30 / 3600 s Viewer, "You change your profile too often.";
    /// A try at `deleteAccount`: who holds a stolen device cannot guess the password at it.
    DeleteAccount "DELETE_ACCOUNT" 5 / 300 s Viewer, "Too many tries to delete the account.";
    /// `requestDataExport`. While one is pending, asking again is not counted.
    RequestDataExport "REQUEST_DATA_EXPORT" 2 / 86400 s Viewer, "You have asked for your data often enough for today.";
    /// `logout` and `revokeSession`.
    ManageSessions "MANAGE_SESSIONS" 60 / 60 s Viewer, "You end sessions too fast.";
}

impl Rule {
    /// How long it takes until one more may come.
    pub fn interval(self) -> Duration {
        self.period / self.limit
    }
}

impl FromStr for Rule {
    type Err = String;

    /// Reads `COUNT/PERIOD`, e.g. `60/10s`; the period in `s`, `m`, `h` or `d`.
    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected COUNT/PERIOD, e.g. 60/10s, 5/m or 100/1h, or off";
        let (limit, period) = text.split_once('/').ok_or(EXPECTED)?;
        let limit: u32 = limit.trim().parse().map_err(|_| EXPECTED)?;
        let period = period.trim();
        let (number, unit) = period.split_at(period.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?);
        let number: u64 = if number.is_empty() { 1 } else { number.parse().map_err(|_| EXPECTED)? };
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(EXPECTED.into()),
        };
        let seconds = number.saturating_mul(seconds);
        if !(1..=1_000_000).contains(&limit) || !(1..=30 * 86_400).contains(&seconds) {
            return Err("the count is between 1 and 1000000, the period between 1s and 30d".into());
        }
        Ok(Self { limit, period: Duration::from_secs(seconds) })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.period.as_secs();
        let (number, unit) = match seconds {
            _ if seconds.is_multiple_of(86_400) => (seconds / 86_400, "d"),
            _ if seconds.is_multiple_of(3600) => (seconds / 3600, "h"),
            _ if seconds.is_multiple_of(60) => (seconds / 60, "m"),
            _ => (seconds, "s"),
        };
        write!(f, "{}/{number}{unit}", self.limit)
    }
}

/// What is in force, by action; none where a limit is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules([Option<Rule>; Action::ALL.len()]);

impl Default for Rules {
    fn default() -> Self {
        Self(Action::ALL.map(|action| Some(action.default_rule())))
    }
}

impl Rules {
    pub fn of(&self, action: Action) -> Option<Rule> {
        self.0[action as usize]
    }

    #[cfg(test)]
    pub fn with(mut self, action: Action, rule: Option<Rule>) -> Self {
        self.0[action as usize] = rule;
        self
    }
}

/// A flag and a variable for each action: `--rate-limit-send-message`, `KITH_RATE_LIMIT_SEND_MESSAGE`.
static FLAGS: LazyLock<[(&str, &str); Action::ALL.len()]> = LazyLock::new(|| {
    Action::ALL.map(|action| {
        let flag = format!("rate-limit-{}", action.name().to_ascii_lowercase().replace('_', "-"));
        let default = action.default_rule().to_string();
        // Once in the life of a process.
        (&*flag.leak(), &*default.leak())
    })
});

impl clap::Args for Rules {
    fn augment_args(command: clap::Command) -> clap::Command {
        Action::ALL.into_iter().zip(FLAGS.iter()).fold(command, |command, (action, (flag, default))| {
            let parse = |text: &str| match text.trim() {
                "off" => Ok(Limit(None)),
                text => text.parse().map(|rule| Limit(Some(rule))),
            };
            let help = format!("Most of them for one subject: COUNT/PERIOD, or off. {}", action.message());
            command.arg(
                clap::Arg::new(*flag)
                    .long(*flag)
                    .env(action.setting())
                    .default_value(*default)
                    .value_parser(parse)
                    .value_name("COUNT/PERIOD")
                    .help(help)
                    .hide_short_help(true)
                    .help_heading("Rate limits"),
            )
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// What to say to an operator of a variable that looks like a limit and is none: a slip would leave a default in force.
pub fn unknown_setting(variables: impl IntoIterator<Item = String>) -> Option<String> {
    let is_unknown = |name: &String| {
        name.starts_with("KITH_RATE_LIMIT_") && Action::ALL.into_iter().all(|action| action.setting() != name)
    };
    let name = variables.into_iter().find(is_unknown)?;
    Some(format!(
        "{name} is not a limit of this server: the README has a table of them, and so has `kith serve --help`"
    ))
}

/// A value of a flag.
#[derive(Clone)]
struct Limit(Option<Rule>);

impl clap::FromArgMatches for Rules {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut rules = Self::default();
        rules.update_from_arg_matches(matches)?;
        Ok(rules)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        for (rule, (flag, _)) in self.0.iter_mut().zip(FLAGS.iter()) {
            if let Some(Limit(given)) = matches.get_one::<Limit>(flag) {
                *rule = *given;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn every_action_has_all_it_needs() {
        let mut names = std::collections::HashSet::new();
        for (idx, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, idx);
            let name = action.name();
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{name}");
            assert_eq!(
                format!("{:?}", async_graphql::Value::from(action)),
                format!("{:?}", async_graphql::Value::Enum(async_graphql::Name::new(name))),
                "the schema calls it the same"
            );
            let rule = action.default_rule();
            assert_eq!(rule.to_string().parse(), Ok(rule), "{name}");
            assert!(action.message().ends_with('.') && action.message().len() > 15, "{name}: {}", action.message());
        }
    }

    #[test]
    fn every_limit_is_explained_to_operators() {
        let readme = include_str!("../../README.md");
        for action in Action::ALL {
            let cells = format!("| `{}` | `{}` |", action.setting(), action.default_rule());
            assert!(readme.contains(&cells), "the README's table of limits lacks {cells}");
        }
    }

    #[test]
    fn a_limit_is_a_count_and_a_period() {
        for (text, limit, seconds) in
            [("60/10s", 60, 10), ("5/m", 5, 60), ("100/1h", 100, 3600), (" 1 / 2d ", 1, 172_800), ("7/90s", 7, 90)]
        {
            assert_eq!(text.parse(), Ok(Rule { limit, period: Duration::from_secs(seconds) }), "{text}");
        }
        for bad in
            ["", "60", "/", "0/1s", "60/0s", "-1/1s", "60/10", "60/10x", "1/31d", "1000001/1s", "60/s10", "1/1s/1"]
        {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_that_does_not_exist_is_named() {
        let unknown = |names: &[&str]| unknown_setting(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(unknown(&["PATH", "KITH_RATE_LIMITS", "KITH_RATE_LIMIT_SEND_MESSAGE"]), None);
        let sentence = unknown(&["KITH_RATE_LIMIT_LOGIN", "HOME"]).expect("there is none");
        assert!(sentence.starts_with("KITH_RATE_LIMIT_LOGIN is not"), "{sentence}");
    }

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        rules: Rules,
    }

    #[test]
    fn each_limit_can_be_set_and_switched_off() {
        let parse = |arguments: &[&str]| {
            Cli::try_parse_from(["kith"].iter().chain(arguments)).map(|cli| cli.rules).map_err(|it| it.to_string())
        };
        assert_eq!(parse(&[]).as_ref(), Ok(&Rules::default()));
        let rules = parse(&["--rate-limit-send-message", "60/10s", "--rate-limit-discovery=off"]).expect("valid");
        assert_eq!(rules.of(Action::SendMessage), Some(Rule { limit: 60, period: Duration::from_secs(10) }));
        assert_eq!(rules.of(Action::Discovery), None);
        assert_eq!(rules.of(Action::Register), Some(Action::Register.default_rule()));
        let error = parse(&["--rate-limit-send-message", "many"]).expect_err("refused");
        assert!(error.contains("--rate-limit-send-message") && error.contains("60/10s"), "{error}");
        for (action, (flag, _)) in Action::ALL.into_iter().zip(FLAGS.iter()) {
            assert_eq!(action.setting(), flag.replace('-', "_").to_ascii_uppercase().replacen("RATE", "KITH_RATE", 1));
            let rules = parse(&[&format!("--{flag}"), "off"]).expect("valid");
            assert_eq!(rules, Rules::default().with(action, None), "{flag}");
        }
    }
}
