//! Trino's properties files: their text from keys and values, escaped as `java.util.Properties.load` reads them.

use std::{collections::BTreeMap, fmt::Write};

/// The text of a properties file, one `key=value` a line in the order of the keys.
///
/// Whatever a key or a value holds, Java reads it back as it was given (the rules are those of
/// `java.util.Properties.load(Reader)`, JDK 25): so a value cannot end its line and begin another property.
pub fn render(properties: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (key, value) in properties {
        escape(key, true, &mut text);
        text.push('=');
        escape(value, false, &mut text);
        text.push('\n');
    }
    text
}

fn escape(part: &str, is_key: bool, text: &mut String) {
    for (index, character) in part.chars().enumerate() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // A blank ends a key anywhere, and is dropped at the start of a value.
            ' ' if is_key || index == 0 => text.push_str("\\ "),
            '=' | ':' if is_key => {
                text.push('\\');
                text.push(character);
            }
            '#' | '!' if is_key && index == 0 => {
                text.push('\\');
                text.push(character);
            }
            ' '..='~' => text.push(character),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(text, "\\u{unit:04X}").expect("writing to a String cannot fail");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_java_would_read_differently_is_escaped() {
        // Expected texts by the rules in the API documentation of java.util.Properties.load.
        for (key, value, line) in [
            ("plain.key", "plain value", "plain.key=plain value\n"),
            ("a", " leading", "a=\\ leading\n"),
            ("a", "two\nlines=1", "a=two\\nlines=1\n"),
            ("a", "C:\\dir", "a=C:\\\\dir\n"),
            ("a", "#no comment", "a=#no comment\n"),
            ("k e=y:", "v", "k\\ e\\=y\\:=v\n"),
            ("#a", "v", "\\#a=v\n"),
            ("a", "é", "a=\\u00E9\n"),
            ("a", "😀", "a=\\uD83D\\uDE00\n"),
            ("a", "${ENV:PASSWORD}", "a=${ENV:PASSWORD}\n"),
            ("a", "", "a=\n"),
        ] {
            assert_eq!(render(&BTreeMap::from([(key.to_owned(), value.to_owned())])), line);
        }
    }
}
