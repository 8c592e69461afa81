//! How much of what is said of typing is told.
//!
//! One event in three seconds, for one person in one conversation: the first word at once, the last word when the time
//! is over. So a repeat that comes too early still prolongs the typing, and an end that follows at once is told and
//! not lost. Several processes count together in Redis; while that is away, each by itself.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use entity::{ConversationId, Timestamp, UserId};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{INTERVAL, LIFE};
use crate::redis::{Redis, Script};

/// How long is waited for Redis before the process counts by itself.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long Redis is left alone after it did not answer.
const REST: Duration = Duration::from_secs(1);
/// Past so many entries, those that say nothing any more are removed.
const MANY: usize = 1024;

/// Somebody in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Author {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
}

/// What somebody said of their typing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    pub typing: bool,
    /// By the clock of the process that heard it: for the order among events.
    pub said_at: Timestamp,
}

/// What to do with what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Tell it, of so much age.
    Tell(Word, Duration),
    /// Look again after this.
    Wait(Duration),
    Nothing,
}

/// Counts what is told of typing.
pub struct Typing {
    local: Mutex<HashMap<Author, Told>>,
    shared: Option<Shared>,
    /// Of whom something waits that is looked at here.
    waiting: Mutex<HashSet<Author>>,
}

/// What was told last.
#[derive(Clone, Copy, Debug)]
struct Told {
    typing: bool,
    at: Instant,
    /// The last word that could not be told yet, and since when it waits.
    waits: Option<(Word, Instant)>,
}

impl Typing {
    pub fn new(redis: Option<Redis>) -> Self {
        Self { local: Mutex::default(), shared: redis.map(Shared::new), waiting: Mutex::default() }
    }

    /// Something is said.
    pub(super) async fn say(&self, author: Author, word: Word) -> Step {
        self.step(author, Some(word), word.said_at).await
    }

    /// Whether what waits can be told now.
    pub(super) async fn look(&self, author: Author, now: Timestamp) -> Step {
        self.step(author, None, now).await
    }

    /// What an author said waits. False if something of theirs does already, and somebody will look.
    pub(super) fn wait(&self, author: Author) -> bool {
        self.waiting.lock().insert(author)
    }

    /// Nothing of an author's waits any more.
    pub(super) fn waited(&self, author: Author) {
        self.waiting.lock().remove(&author);
    }

    async fn step(&self, author: Author, said: Option<Word>, at: Timestamp) -> Step {
        if let Some(shared) = &self.shared
            && let Some(step) = shared.step(author, said, at).await
        {
            return step;
        }
        let now = Instant::now();
        let mut local = self.local.lock();
        if local.len() >= MANY {
            local.retain(|_, told| now < told.at + LIFE);
        }
        let mut told = local.get(&author).copied();
        let step = step(&mut told, said, now);
        if let Some(told) = told {
            local.insert(author, told);
        }
        step
    }
}

/// The rule. Without a word, what waits is looked at.
fn step(told: &mut Option<Told>, said: Option<Word>, now: Instant) -> Step {
    let waits = told.and_then(|told| told.waits);
    let Some((word, since)) = said.map(|word| (word, now)).or(waits) else { return Step::Nothing };
    let is_typing = told.is_some_and(|told| told.typing && now < told.at + LIFE);
    if !word.typing && !is_typing {
        if let Some(told) = told {
            told.waits = None;
        }
        return Step::Nothing;
    }
    match told {
        Some(told) if now < told.at + INTERVAL => {
            told.waits = Some((word, since));
            Step::Wait(told.at + INTERVAL - now)
        }
        _ => {
            *told = Some(Told { typing: word.typing, at: now, waits: None });
            Step::Tell(word, now - since)
        }
    }
}

struct Shared {
    redis: Redis,
    script: Script,
    resting_until: Mutex<Option<Instant>>,
}

impl Shared {
    fn new(redis: Redis) -> Self {
        let script = Script::new(include_str!("throttle.lua"));
        Self { redis, script, resting_until: Mutex::default() }
    }

    /// None: Redis does not answer.
    async fn step(&self, author: Author, said: Option<Word>, at: Timestamp) -> Option<Step> {
        if self.resting_until.lock().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let key = self
            .redis
            .key("typing", format_args!("{}:{}", author.conversation_id.0.simple(), author.user_id.0.simple()));
        let word = match said.map(|word| word.typing) {
            Some(true) => "1",
            Some(false) => "0",
            None => "",
        };
        let [interval, life] = [INTERVAL, LIFE].map(|duration| duration.as_millis().to_string());
        let arguments = [word.to_owned(), interval, life, at.0.to_string()];
        let keys = [key];
        let cause = match timeout(PATIENCE, self.redis.run::<Vec<i64>>(&self.script, &keys, &arguments)).await {
            Ok(Ok(answer)) => {
                return Some(match answer[..] {
                    [0, typing, age, said_at] => Step::Tell(
                        Word { typing: typing == 1, said_at: Timestamp(said_at) },
                        Duration::from_millis(age.unsigned_abs()),
                    ),
                    [wait] if wait > 0 => Step::Wait(Duration::from_millis(wait.unsigned_abs())),
                    _ => Step::Nothing,
                });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(cause, "Redis does not count typing: the process counts by itself");
        *self.resting_until.lock() = Some(Instant::now() + REST);
        None
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// What is told of what is said at which millisecond, with the looks that it asks for.
    async fn told(said: &[(u64, bool)]) -> Vec<(u64, bool)> {
        ages(said).await.into_iter().map(|(at, word, _)| (at, word)).collect()
    }

    fn word(typing: bool) -> Word {
        Word { typing, said_at: Timestamp(0) }
    }

    /// Also of what age it is then.
    async fn ages(said: &[(u64, bool)]) -> Vec<(u64, bool, u64)> {
        let typing = Typing::new(None);
        let author = Author { conversation_id: ConversationId(Uuid::nil()), user_id: UserId(Uuid::nil()) };
        let started = Instant::now();
        let (mut told, mut look_at) = (Vec::new(), None);
        for millisecond in 0..20_000 {
            let now = started + Duration::from_millis(millisecond);
            tokio::time::advance(now - Instant::now()).await;
            let words = said.iter().filter(|(at, _)| *at == millisecond).map(|(_, typing)| Some(word(*typing)));
            let looks = (look_at == Some(now)).then_some(None);
            for word in looks.into_iter().chain(words) {
                match typing.step(author, word, Timestamp(0)).await {
                    Step::Tell(word, age) => told.push((millisecond, word.typing, age.as_millis() as u64)),
                    Step::Wait(wait) => look_at = Some(now + wait),
                    Step::Nothing => {}
                }
            }
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_word_is_told_at_once_and_the_last_when_the_time_is_over() {
        for (said, expected) in [
            (&[(0, true)][..], &[(0, true)][..]),
            // There is nothing to end.
            (&[(0, false)], &[]),
            // An end right after the beginning is told, once it may.
            (&[(0, true), (1, false)], &[(0, true), (3000, false)]),
            (&[(0, true), (4000, false)], &[(0, true), (4000, false)]),
            // It has ended by itself.
            (&[(0, true), (5000, false)], &[(0, true)]),
            // A repeat that comes too early prolongs it nevertheless.
            (&[(0, true), (2900, true), (5800, true)], &[(0, true), (3000, true), (6000, true)]),
            // The last word counts.
            (&[(0, true), (1, false), (2, true)], &[(0, true), (3000, true)]),
            (&[(0, true), (1, true), (2, false)], &[(0, true), (3000, false)]),
            (&[(0, true), (10, false), (3100, true)], &[(0, true), (3000, false), (6000, true)]),
        ] {
            assert_eq!(told(said).await, expected, "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_is_as_old_as_the_last_word() {
        assert_eq!(ages(&[(0, true), (50, true)]).await, [(0, true, 0), (3000, true, 2950)]);
        assert_eq!(ages(&[(0, true), (50, true), (2000, true)]).await, [(0, true, 0), (3000, true, 1000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_is_said_three_seconds_are_between_two_events() {
        let said: Vec<(u64, bool)> = (0..12_000).step_by(37).map(|at| (at, at % 5 != 0)).collect();
        let told = told(&said).await;
        assert!(told.len() >= 4, "{told:?}");
        assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 3000), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_forgotten() {
        let typing = Typing::new(None);
        for n in 0..3 * MANY as u128 {
            let author = Author { conversation_id: ConversationId(Uuid::nil()), user_id: UserId(Uuid::from_u128(n)) };
            assert_eq!(typing.say(author, word(true)).await, Step::Tell(word(true), Duration::ZERO));
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!(typing.local.lock().len() <= MANY);
    }
}
