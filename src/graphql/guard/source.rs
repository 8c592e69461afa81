//! The text of a document, before the parser.

use std::borrow::Cow;

use super::{Limits, MAX_BRACKETS, Refusal};

/// Checks size, tokens and brackets of a document's text, without recursion and in one pass. Comes before the parser.
///
/// # Errors
/// A limit, or a string without an end.
pub fn check_source(source: &str, limits: &Limits) -> Result<(), Refusal> {
    measure_source(source, limits).map(drop)
}

/// Like [`check_source`], and says how many tokens there are.
pub(in crate::graphql) fn measure_source(source: &str, limits: &Limits) -> Result<usize, Refusal> {
    if source.len() > limits.max_document_bytes {
        return Err(Refusal::TooManyBytes { limit: limits.max_document_bytes });
    }
    let (mut n_tokens, mut round, mut square, mut curly) = (0, 0_usize, 0_usize, 0_usize);
    for token in Lexer::new(source) {
        n_tokens += 1;
        if n_tokens > limits.max_tokens {
            return Err(Refusal::TooManyTokens { limit: limits.max_tokens });
        }
        match token.kind {
            TokenKind::Punctuator(b'(') => round += 1,
            TokenKind::Punctuator(b'[') => square += 1,
            TokenKind::Punctuator(b'{') => curly += 1,
            // A closing bracket too many is the parser's to report: it goes no further than that.
            TokenKind::Punctuator(b')') => round = round.saturating_sub(1),
            TokenKind::Punctuator(b']') => square = square.saturating_sub(1),
            TokenKind::Punctuator(b'}') => curly = curly.saturating_sub(1),
            // The library's parser reads `"""abc` as an empty string followed by `"abc`: never let it see one.
            TokenKind::UnterminatedString => {
                let (line, column) = line_and_column(source, token.start);
                return Err(Refusal::UnterminatedString { line, column });
            }
            TokenKind::Punctuator(_) | TokenKind::Name | TokenKind::Number | TokenKind::String => {}
        }
        if round.max(square).max(curly) > MAX_BRACKETS {
            return Err(Refusal::TooManyBrackets { limit: MAX_BRACKETS });
        }
    }
    Ok(n_tokens)
}

/// Writes the escapes of strings that the library's parser does not know in a way that it does: surrogate pairs
/// (`\ud83d\ude00`, as many programs write JSON) and `\u{1F600}`. Not in block strings and comments, where they are no
/// escapes. What follows a string stays at its column. Comes after [`check_source`]; allocates only where there is one.
///
/// # Errors
/// Half a pair, which is no character. Everything else that is no escape is left for the parser to refuse.
pub(in crate::graphql) fn plain_escapes(source: &str) -> Result<Cow<'_, str>, Refusal> {
    if !source.contains("\\u") {
        return Ok(source.into());
    }
    let mut plain = String::new();
    let mut copied = 0;
    for token in Lexer::new(source) {
        let text = source.get(token.start..token.end).unwrap_or_default();
        if token.kind != TokenKind::String || text.starts_with("\"\"\"") {
            continue;
        }
        let lone = || {
            let (line, column) = line_and_column(source, token.start);
            Refusal::LoneSurrogate { line, column }
        };
        let mut n_dropped = 0;
        let mut at = 0;
        while let Some(backslash) = text.get(at..).and_then(|rest| rest.find('\\')).map(|offset| at + offset) {
            let Some((code, length)) = unicode_escape(&text[backslash..]) else {
                // Of another escape, its second character says nothing by itself.
                at = backslash + 1 + text[backslash + 1..].chars().next().map_or(0, char::len_utf8);
                continue;
            };
            let is_braced = text[backslash..].starts_with("\\u{");
            let (code, length) = match code {
                0xD800..0xDC00 if !is_braced => match unicode_escape(&text[backslash + length..]) {
                    Some((low @ 0xDC00..0xE000, more)) if !text[backslash + length..].starts_with("\\u{") => {
                        (0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), length + more)
                    }
                    _ => return Err(lone()),
                },
                0xD800..0xE000 => return Err(lone()),
                code => (code, length),
            };
            at = backslash + length;
            let Some(character) = char::from_u32(code).filter(|_| is_braced || code > 0xFFFF) else { continue };
            plain.push_str(&source[copied..token.start + backslash]);
            copied = token.start + at;
            // Those that mean something in a string stay escaped.
            let written = if code > 0xFFFF { character.to_string() } else { format!("\\u{code:04X}") };
            // The shortest, `\u{A}`, is one shorter than what is written for it.
            n_dropped += length as isize - written.chars().count() as isize;
            plain.push_str(&written);
        }
        if n_dropped > 0 {
            plain.push_str(&source[copied..token.end]);
            copied = token.end;
            plain.extend(std::iter::repeat_n(' ', n_dropped.unsigned_abs()));
        }
    }
    if copied == 0 {
        return Ok(source.into());
    }
    plain.push_str(&source[copied..]);
    Ok(plain.into())
}

/// The number in `\uXXXX` or `\u{X…}` at the beginning of a text, and how many bytes it takes.
fn unicode_escape(text: &str) -> Option<(u32, usize)> {
    let digits = text.strip_prefix("\\u")?;
    let (digits, length) = match digits.strip_prefix('{') {
        Some(braced) => braced.find('}').map(|end| (&braced[..end], end + 4))?,
        None => (digits.get(..4)?, 6),
    };
    let mut code: u32 = 0;
    for digit in digits.chars() {
        code = code.saturating_mul(16).saturating_add(digit.to_digit(16)?);
    }
    (!digits.is_empty()).then_some((code, length))
}

/// A token of the text, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::graphql) struct Token {
    pub(in crate::graphql) kind: TokenKind,
    pub(in crate::graphql) start: usize,
    pub(in crate::graphql) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::graphql) enum TokenKind {
    /// `...`, or any other single character that begins nothing else, whether GraphQL knows it or not: its first byte.
    Punctuator(u8),
    Name,
    Number,
    /// With its quotes; a block string likewise.
    String,
    /// From the opening quote to where the string stopped; the text after it is not read.
    UnterminatedString,
}

/// Splits a text into tokens the way the library's parser does. Yields nothing after an unterminated string.
pub(in crate::graphql) struct Lexer<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Lexer<'a> {
    pub(in crate::graphql) fn new(source: &'a str) -> Self {
        Self { bytes: source.as_bytes(), position: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    fn skip_while(&mut self, accepts: impl Fn(u8) -> bool) {
        self.position += self.rest().iter().take_while(|byte| accepts(**byte)).count();
    }

    fn skip_ignored(&mut self) {
        loop {
            match self.rest() {
                [b' ' | b'\t' | b'\r' | b'\n' | b',', ..] => self.position += 1,
                [0xEF, 0xBB, 0xBF, ..] => self.position += 3,
                [b'#', ..] => self.skip_while(|byte| byte != b'\n' && byte != b'\r'),
                _ => return,
            }
        }
    }

    /// Stops after each number that the parser would take as one: `007` is three.
    fn skip_number(&mut self) {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        if self.rest().first() == Some(&b'-') {
            self.position += 1;
        }
        if self.rest().first() == Some(&b'0') {
            self.position += 1;
        } else {
            self.skip_while(is_digit);
        }
        if let [b'.', digit, ..] = self.rest()
            && digit.is_ascii_digit()
        {
            self.position += 1;
            self.skip_while(is_digit);
        }
        let mark = match self.rest() {
            [b'e' | b'E', b'+' | b'-', digit, ..] if digit.is_ascii_digit() => 2,
            [b'e' | b'E', digit, ..] if digit.is_ascii_digit() => 1,
            _ => return,
        };
        self.position += mark;
        self.skip_while(is_digit);
    }

    fn skip_block_string(&mut self) -> TokenKind {
        self.position += 3;
        loop {
            match self.rest() {
                [] => return TokenKind::UnterminatedString,
                [b'\\', b'"', b'"', b'"', ..] => self.position += 4,
                [b'"', b'"', b'"', ..] => {
                    self.position += 3;
                    return TokenKind::String;
                }
                _ => self.position += 1,
            }
        }
    }

    fn skip_string(&mut self) -> TokenKind {
        self.position += 1;
        loop {
            match self.rest() {
                [] | [b'\n' | b'\r', ..] => return TokenKind::UnterminatedString,
                [b'"', ..] => {
                    self.position += 1;
                    return TokenKind::String;
                }
                // What may follow a backslash is the parser's to say; a line break may not.
                [b'\\', next, ..] if !matches!(next, b'\n' | b'\r') => self.position += 2,
                _ => self.position += 1,
            }
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_ignored();
        let start = self.position;
        let kind = match self.rest() {
            [] => return None,
            [b'"', b'"', b'"', ..] => self.skip_block_string(),
            [b'"', ..] => self.skip_string(),
            [b'-' | b'0'..=b'9', ..] => {
                self.skip_number();
                TokenKind::Number
            }
            [b'_' | b'a'..=b'z' | b'A'..=b'Z', ..] => {
                self.skip_while(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                TokenKind::Name
            }
            [b'.', b'.', b'.', ..] => {
                self.position += 3;
                TokenKind::Punctuator(b'.')
            }
            [byte, ..] => {
                self.position += 1;
                if !byte.is_ascii() {
                    // The rest of one character of several bytes.
                    self.skip_while(|byte| (0x80..0xC0).contains(&byte));
                }
                TokenKind::Punctuator(*byte)
            }
        };
        let token = Token { kind, start, end: self.position };
        if kind == TokenKind::UnterminatedString {
            self.position = self.bytes.len();
        }
        Some(token)
    }
}

/// Line and column, in characters and from 1, of a byte of the text.
fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (1 + before.matches('\n').count(), 1 + before[line_start..].chars().count())
}
