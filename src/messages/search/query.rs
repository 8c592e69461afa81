//! What a search means, the same on both databases.
//!
//! Text is cut into words here and not by the database: without regard to case (by Unicode's full folding), accents and the forms of a letter, and
//! written in ASCII, so that neither database's idea of a letter matters. What a person typed never reaches a query
//! language: only these words do.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::error::Error;

/// Longest text of a search, in characters.
pub const MAX_QUERY_CHARACTERS: usize = 200;
/// Most words of a search.
const MAX_WORDS: usize = 16;
/// Of a longer word only the beginning counts.
const MAX_WORD_CHARACTERS: usize = 64;
/// Begins a word that is written as bytes.
const ESCAPE: &str = "zz";

/// Words in a row.
type Phrase = Vec<String>;

/// What to find: messages with all of the wanted and none of the excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    wanted: Vec<Phrase>,
    excluded: Vec<Phrase>,
}

impl SearchQuery {
    /// Reads what a person typed: words, `"words in a row"`, `-word` and `-"words in a row"` to leave out. Everything else
    /// separates words.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // Bytes first: a huge text is not walked.
        if text.len() > MAX_QUERY_CHARACTERS * 4 || text.chars().count() > MAX_QUERY_CHARACTERS {
            return Err(Error::bad_input(format!("A search has at most {MAX_QUERY_CHARACTERS} characters.")));
        }
        let mut query = Self { wanted: Vec::new(), excluded: Vec::new() };
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_excluded = first == '-';
            let body = if is_excluded { &rest[1..] } else { rest };
            let quote = body.chars().next().filter(|first| is_quote(*first));
            let (piece, after) = match quote {
                Some(quote) => {
                    let quoted = &body[quote.len_utf8()..];
                    quoted.split_once(is_quote).unwrap_or((quoted, ""))
                }
                None => body.split_at(
                    body.find(|character: char| character.is_whitespace() || is_quote(character)).unwrap_or(body.len()),
                ),
            };
            let words = words(piece);
            if !words.is_empty() {
                if is_excluded { query.excluded.push(words) } else { query.wanted.push(words) }
            }
            rest = after.trim_start();
        }
        if query.wanted.is_empty() {
            return Err(Error::bad_input("Write at least one word to search for."));
        }
        if query.wanted.iter().chain(&query.excluded).map(Vec::len).sum::<usize>() > MAX_WORDS {
            return Err(Error::bad_input(format!("A search has at most {MAX_WORDS} words.")));
        }
        Ok(query)
    }

    /// For `websearch_to_tsquery`.
    pub fn for_postgres(&self) -> String {
        let wanted = self.wanted.iter().map(quote);
        let excluded = self.excluded.iter().map(|phrase| format!("-{}", quote(phrase)));
        wanted.chain(excluded).collect::<Vec<_>>().join(" ")
    }

    /// For `MATCH` of FTS5.
    pub fn for_sqlite(&self) -> String {
        let join = |phrases: &[Phrase], how| phrases.iter().map(quote).collect::<Vec<_>>().join(how);
        let wanted = join(&self.wanted, " AND ");
        match self.excluded.is_empty() {
            true => format!("body : ({wanted})"),
            false => format!("body : (({wanted}) NOT ({}))", join(&self.excluded, " OR ")),
        }
    }
}

/// Words have letters and digits of ASCII only.
fn quote(phrase: &Phrase) -> String {
    format!("\"{}\"", phrase.join(" "))
}

fn is_quote(character: char) -> bool {
    matches!(character, '"' | '“' | '”' | '„' | '«' | '»')
}

/// The words of a text, in order, as they are indexed and looked for.
pub fn words(text: &str) -> Vec<String> {
    let folded: String = text
        .chars()
        .default_case_fold()
        .nfkd()
        .filter(|character| !is_accent(*character))
        // What was a form of a letter may be a capital by now.
        .default_case_fold()
        .nfc()
        .collect();
    folded
        .unicode_words()
        .flat_map(|word| word.split(|character: char| !is_of_a_word(character)))
        .filter(|word| !word.is_empty())
        .map(encode)
        .collect()
}

fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || unicode_normalization::char::is_combining_mark(character)
}

/// Marks that one may leave out in writing and is still understood. Not those that make another letter, as in the
/// scripts of India.
fn is_accent(character: char) -> bool {
    matches!(
        character,
        '\u{300}'..='\u{36f}'
            | '\u{591}'..='\u{5bd}'
            | '\u{5bf}'..='\u{5c7}'
            | '\u{610}'..='\u{61a}'
            | '\u{640}'
            | '\u{64b}'..='\u{65f}'
            | '\u{670}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

/// A word in letters and digits of ASCII; no two words become one.
fn encode(word: &str) -> String {
    let end = word.char_indices().nth(MAX_WORD_CHARACTERS).map_or(word.len(), |(end, _)| end);
    let word = &word[..end];
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !word.starts_with(ESCAPE) {
        return word.to_owned();
    }
    word.bytes().fold(ESCAPE.to_owned(), |mut encoded, byte| {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(encoded, "{byte:02x}");
        encoded
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn postgres(text: &str) -> String {
        SearchQuery::parse(text).expect(text).for_postgres()
    }

    fn sqlite(text: &str) -> String {
        SearchQuery::parse(text).expect(text).for_sqlite()
    }

    #[test]
    fn a_query_says_the_same_to_both_databases() {
        for (text, for_postgres, for_sqlite) in [
            ("hello", r#""hello""#, r#"body : ("hello")"#),
            ("  Hello  World ", r#""hello" "world""#, r#"body : ("hello" AND "world")"#),
            (r#""good morning" all"#, r#""good morning" "all""#, r#"body : ("good morning" AND "all")"#),
            ("tea -milk", r#""tea" -"milk""#, r#"body : (("tea") NOT ("milk"))"#),
            (r#"-"no milk" tea -x"#, r#""tea" -"no milk" -"x""#, r#"body : (("tea") NOT ("no milk" OR "x"))"#),
            ("foo-bar", r#""foo bar""#, r#"body : ("foo bar")"#),
            (
                "a OR b AND NOT NEAR(c)",
                r#""a" "or" "b" "and" "not" "near c""#,
                r#"body : ("a" AND "or" AND "b" AND "and" AND "not" AND "near c")"#,
            ),
            (r#"open "quote"#, r#""open" "quote""#, r#"body : ("open" AND "quote")"#),
            ("pre* col:x ^y (z)", r#""pre" "col x" "y" "z""#, r#"body : ("pre" AND "col x" AND "y" AND "z")"#),
            ("don't 3.14", r#""don t" "3 14""#, r#"body : ("don t" AND "3 14")"#),
            ("a\0b", r#""a b""#, r#"body : ("a b")"#),
            ("--x y", r#""y" -"x""#, r#"body : (("y") NOT ("x"))"#),
        ] {
            assert_eq!(postgres(text), for_postgres, "{text:?}");
            assert_eq!(sqlite(text), for_sqlite, "{text:?}");
        }
    }

    #[test]
    fn what_asks_for_nothing_or_too_much_is_refused() {
        for text in ["", " ", "\0", "-", "-x", "\"\"", "\"", "🦀", "...", "--", "-\"a b\"", "\u{feff}"] {
            assert!(SearchQuery::parse(text).is_err(), "{text:?}");
        }
        for text in ["x".repeat(201), "x ".repeat(17), "a".repeat(10_000), "🦀".repeat(100_000)] {
            assert!(SearchQuery::parse(&text).is_err(), "{text:.20}");
        }
        assert!(SearchQuery::parse(&"x ".repeat(16)).is_ok());
    }

    #[test]
    fn case_accents_and_forms_do_not_matter() {
        for (one, other) in [
            ("CAFÉ", "cafe"),
            ("cafe\u{301}", "café"),
            ("ÅNGSTRÖM", "angstrom"),
            ("İstanbul", "istanbul"),
            ("ﬁne", "FINE"),
            ("𝒳", "x"),
            ("１２３", "123"),
            ("Ωμέγα", "ωμεγα"),
            ("ΟΔΟΣ", "οδος"),
            ("οδοσ", "οδος"),
            ("STRASSE", "straße"),
            ("ẞ", "ss"),
            ("ᾳ", "ΑΙ"),
            ("ﬀ", "FF"),
            ("ЁЖ", "еж"),
            ("مُحَمَّد", "محمد"),
        ] {
            assert_eq!(words(one), words(other), "{one} {other}");
        }
        assert_ne!(words("कि"), words("का"), "a vowel is no accent");
        assert_ne!(words("straße"), words("strabe"));
        assert_eq!(words("日本語").len(), 3, "each sign is a word, so that a part is found");
        assert_ne!(words("zz6869"), words("hi"));
        assert_ne!(words("zzc3bc"), words("ü"), "no word looks like another one's bytes");
    }

    proptest! {
        #[test]
        fn only_plain_words_reach_a_database(text in "\\PC{0,200}") {
            if let Ok(query) = SearchQuery::parse(&text) {
                let plain = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
                prop_assert!(query.wanted.iter().chain(&query.excluded).flatten().all(plain));
            }
        }

        #[test]
        fn a_word_is_found_in_its_own_text(text in "\\PC{1,100}") {
            // Cut at spaces, as a person would cut it.
            let of_text = words(&text);
            for piece in text.split_whitespace() {
                for word in words(piece) {
                    prop_assert!(of_text.contains(&word), "{:?} of {:?} is not in {:?}", word, text, of_text);
                }
            }
        }
    }
}
