//! What somebody is shown of another's presence.

use entity::Timestamp;

use super::State;

/// What is known of a viewer and somebody, for [`shown`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The viewer themselves.
    pub myself: bool,
    pub friend: bool,
    /// Both are members of a group.
    pub shares_group: bool,
    /// The viewer has blocked them.
    pub blocks: bool,
    /// Since when they have blocked the viewer.
    pub blocked_since: Option<Timestamp>,
}

/// What a viewer is shown of somebody's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    /// How they are.
    Truly,
    /// As if they had left then and not come back.
    AwaySince(Timestamp),
}

/// What a viewer is shown of somebody. Who is blocked must not be able to tell, so to them the other is simply away.
pub fn shown(facts: Facts) -> Shown {
    match facts {
        Facts { myself: true, .. } => Shown::Truly,
        Facts { blocks: true, .. } => Shown::Nothing,
        Facts { shares_group: true, blocked_since: Some(since), .. } => Shown::AwaySince(since),
        Facts { blocked_since: Some(_), .. } => Shown::Nothing,
        Facts { friend: true, .. } | Facts { shares_group: true, .. } => Shown::Truly,
        Facts { friend: false, shares_group: false, .. } => Shown::Nothing,
    }
}

impl Shown {
    /// What is shown of how somebody is.
    pub fn of(self, state: State) -> Option<State> {
        match self {
            Self::Nothing => None,
            Self::Truly => Some(state),
            Self::AwaySince(since) => Some(State::Offline(Some(since))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn friends_and_group_mates_see_each_other_unless_one_has_blocked_the_other() {
        let then = Timestamp(7);
        let (nothing, truly, away) = (Shown::Nothing, Shown::Truly, Shown::AwaySince(then));
        for (myself, friend, shares_group, blocks, blocked, expected) in [
            (false, false, false, false, false, nothing),
            (true, false, false, false, false, truly),
            (false, true, false, false, false, truly),
            (false, false, true, false, false, truly),
            (false, true, true, false, false, truly),
            (false, false, false, true, false, nothing),
            (false, false, true, true, false, nothing),
            (false, false, true, true, true, nothing),
            // To a stranger and to a former friend there is nothing to see, blocked or not.
            (false, false, false, false, true, nothing),
            (false, false, true, false, true, away),
            // Only for the moment in which the friendship ends.
            (false, true, false, true, false, nothing),
            (false, true, false, false, true, nothing),
            (false, true, true, false, true, away),
        ] {
            let facts = Facts { myself, friend, shares_group, blocks, blocked_since: blocked.then_some(then) };
            assert_eq!(shown(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn who_is_away_for_somebody_is_so_whatever_they_do() {
        let (then, later) = (Timestamp(7), Timestamp(9));
        for state in [State::Online, State::Offline(Some(later)), State::Offline(None)] {
            assert_eq!(Shown::AwaySince(then).of(state), Some(State::Offline(Some(then))));
            assert_eq!(Shown::Truly.of(state), Some(state));
            assert_eq!(Shown::Nothing.of(state), None);
        }
    }
}
