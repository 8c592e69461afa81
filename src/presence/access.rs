//! Who may see somebody's presence.

/// What is known of a viewer and somebody, for [`may_see`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The viewer themselves.
    pub myself: bool,
    pub friend: bool,
    /// Both are members of a group.
    pub shares_group: bool,
    /// One has blocked the other, whoever it was.
    pub blocked: bool,
}

/// Whether the viewer may know when somebody is there.
pub fn may_see(facts: Facts) -> bool {
    let Facts { myself, friend, shares_group, blocked } = facts;
    myself || (!blocked && (friend || shares_group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn friends_and_group_mates_see_each_other_unless_one_has_blocked_the_other() {
        for (myself, friend, shares_group, blocked, visible) in [
            (false, false, false, false, false),
            (true, false, false, false, true),
            (false, true, false, false, true),
            (false, false, true, false, true),
            (false, true, true, false, true),
            (false, false, false, true, false),
            (false, true, false, true, false),
            (false, false, true, true, false),
            (false, true, true, true, false),
        ] {
            let facts = Facts { myself, friend, shares_group, blocked };
            assert_eq!(may_see(facts), visible, "{facts:?}");
        }
    }
}
