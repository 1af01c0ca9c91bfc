//! JSON as people write configuration files: strict JSON, and a comma before a closing brace or bracket is let pass.
//!
//! Always true: an accepted text means what strict JSON (RFC 8259) means by it without that comma, and a refused one
//! gets an error that says where and quotes nothing, because the text holds passwords. Typographic quotation marks are
//! named, because word processors and web pages put them in and nobody sees the difference.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::Value;
use zeroize::Zeroizing;

const TYPOGRAPHIC: &str = "\u{201c}\u{201d}\u{201e}\u{201f}\u{2018}\u{2019}\u{201a}\u{00ab}\u{00bb}";

/// Reads one JSON object, its names unique, in the order of the text. A byte order mark in front is ignored.
///
/// The error says what is wrong and in which line; it quotes nothing of the text but a name that stands twice.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, Value)>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let strict = without_trailing_commas(text)?;
    let Members(members) = serde_json::from_str(&strict).map_err(|error| explain(&error, text))?;
    for (place, (name, _)) in members.iter().enumerate() {
        if members[..place].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("'{name}' stands twice"));
        }
    }
    Ok(members)
}

/// The object's members before anyone has looked whether a name stands twice.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

fn explain(error: &serde_json::Error, text: &str) -> String {
    // serde_json quotes the value in an error about its type, so that one gets our own words.
    if error.classify() == Category::Data {
        return "the file must hold one JSON object, { … }".to_owned();
    }
    let line = error.line();
    if text.lines().nth(line.saturating_sub(1)).is_some_and(|line| line.contains(is_typographic)) {
        return typographic(line);
    }
    format!("line {line}, column {}: this is not JSON", error.column())
}

pub(crate) fn is_typographic(character: char) -> bool {
    TYPOGRAPHIC.contains(character)
}

fn typographic(line: usize) -> String {
    format!("typographic quotes in line {line}; type plain ones, \"")
}

/// Puts a space in the place of each trailing comma, so that every position stays what it was. Refuses typographic
/// quotation marks outside strings.
fn without_trailing_commas(text: &str) -> Result<Zeroizing<String>, String> {
    let mut strict = Zeroizing::new(String::with_capacity(text.len()));
    let mut line = 1;
    let mut before = '\0'; // the last character that was not white space
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if is_typographic(character) {
            return Err(typographic(line));
        }
        let length = if character == '"' { string_length(rest) } else { character.len_utf8() };
        let (piece, behind) = rest.split_at(length);
        let trailing = character == ',' && !"\0,{[:".contains(before) && closes(behind);
        strict.push_str(if trailing { " " } else { piece });
        line += usize::from(character == '\n');
        if !is_space(character) {
            before = character;
        }
        rest = behind;
    }
    Ok(strict)
}

/// Bytes up to and with the closing quotation mark. A string that never closes ends with its line, where the parser
/// complains about it.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (place, character) in text.char_indices().skip(1) {
        match character {
            '\n' => return place,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

fn closes(text: &str) -> bool {
    text.trim_start_matches(is_space).starts_with(['}', ']'])
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &str) -> String {
        let members = parse(text).unwrap();
        members.iter().map(|(name, value)| format!("{name}={value};")).collect()
    }

    #[test]
    fn accepts_strict_json_and_a_trailing_comma() {
        for (text, meaning) in [
            ("{}", ""),
            (r#"{"a": 1}"#, "a=1;"),
            (r#"{"a": 1,}"#, "a=1;"),
            ("\u{feff}{\"a\": [1, 2 ,\n\t],\r\n}", "a=[1,2];"),
            (r#"{"a": "x,}", "b": "\",]"}"#, r#"a="x,}";b="\",]";"#),
            ("{\"a\": \"\u{201c}quoted\u{201d}\"}", "a=\"\u{201c}quoted\u{201d}\";"),
        ] {
            assert_eq!(accepted(text), meaning, "{text}");
        }
    }

    #[test]
    fn refuses_and_says_where() {
        for (text, error) in [
            ("", "line 1, column 0: this is not JSON"),
            ("{,}", "line 1, column 2: this is not JSON"),
            (r#"{"a": 1,,}"#, "line 1, column 9: this is not JSON"),
            ("{\"a\": 1\n \"b\": 2}", "line 2, column 2: this is not JSON"),
            (r#"{"a": NaN}"#, "line 1, column 7: this is not JSON"),
            (r#"{"a": 1} x"#, "line 1, column 10: this is not JSON"),
            ("[1]", "the file must hold one JSON object, { … }"),
            (r#""secret""#, "the file must hold one JSON object, { … }"),
            (r#"{"a": 1, "a": 2}"#, "'a' stands twice"),
        ] {
            assert_eq!(parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn names_typographic_quotes_and_their_line() {
        for text in ["{\n\u{201c}a\u{201d}: 1}", "{\n\"a\u{201d}: 1}", "{\n'a': \u{2018}b\u{2019}}"] {
            assert!(parse(text).unwrap_err().starts_with("typographic quotes in line 2"), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        assert!(parse(&format!("{{\"a\": {}", "[".repeat(100_000))).is_err());
    }

    #[test]
    fn an_error_quotes_no_value() {
        for text in [r#"{"pass": "hunter22" "x"}"#, r#""hunter22""#, r#"{"pass": "hunter22"#] {
            assert!(!parse(text).unwrap_err().contains("hunter"), "{text}");
        }
    }
}
