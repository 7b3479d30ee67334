//! Excerpts: a line of the file with carets under it, secrets redacted.

use std::{collections::BTreeSet, fmt::Write as _, ops::Range};

/// Replaces a redacted value.
const REDACTED: &str = "***";

/// Returns line, column (both from 1, the column in characters) and the excerpt,
/// with carets under `span` and the ranges in `redacted` replaced.
pub(super) fn render_excerpt(
    text: &str,
    span: &Range<usize>,
    redacted: &[Range<usize>],
) -> (usize, usize, String) {
    let at = text.floor_char_boundary(span.start);
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = text.get(start..at).unwrap_or_default().chars().count() + 1;

    let content = text
        .get(start..)
        .and_then(|rest| rest.split('\n').next())
        .unwrap_or_default()
        .trim_end_matches('\r');
    let mut shown = String::new();
    let (mut from, mut to) = (None, 0);
    let mut redacting = false;
    let mut width = 0;
    for (offset, letter) in content.char_indices() {
        let here = start + offset;
        let inside = redacted.iter().any(|range| range.contains(&here));
        if here >= at && from.is_none() {
            // Inside a redacted value the carets mark all of it.
            from = Some(if inside && redacting {
                width - REDACTED.len()
            } else {
                width
            });
        }
        if !inside {
            // A control character could overwrite the message in a terminal.
            shown.push(if letter.is_control() { ' ' } else { letter });
            width += 1;
        } else if !redacting {
            shown.push_str(REDACTED);
            width += REDACTED.len();
        }
        redacting = inside;
        if here < span.end {
            to = width;
        }
    }
    let from = from.unwrap_or(width);
    let carets = "^".repeat(to.saturating_sub(from).max(1));
    let gutter = " ".repeat(line.to_string().len());
    let mut excerpt = String::new();
    // Writing into a string does not fail.
    let _infallible = write!(
        excerpt,
        "{gutter} |\n{line} | {}\n{gutter} | {}{carets}\n",
        shown.trim_end(),
        " ".repeat(from),
    );
    (line, column, excerpt)
}

/// The ranges to redact in a file that cannot be parsed, so that it is unknown
/// which text is a value: all but headers, and plain values of harmless keys.
///
/// The syntax error may be in the name of a secret's key or in a separator, so
/// only text that is certainly harmless is shown.
pub(super) fn redact_unparsed(text: &str, harmless: &BTreeSet<String>) -> Vec<Range<usize>> {
    let mut redacted = Vec::new();
    let mut start = 0;
    let mut multiline_text = false;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let shown = if multiline_text {
            0
        } else {
            visible_prefix_len(line, harmless)
        };
        redacted.push(start + shown..end);
        let fences = line.matches("\"\"\"").count() + line.matches("'''").count();
        multiline_text ^= fences % 2 == 1;
        start = end;
    }
    redacted
}

/// The length of the beginning of a line that can be shown.
fn visible_prefix_len(line: &str, harmless: &BTreeSet<String>) -> usize {
    let quotes = line.matches(['"', '\'']).count();
    let Some((key, value)) = line.split_once('=') else {
        let header = line.trim_start().starts_with('[') && quotes == 0;
        return if header { line.len() } else { 0 };
    };
    let value = value.trim();
    let plain = !value.contains(['=', '@', '{']) && (quotes <= 2 || value.starts_with('['));
    let name = key.rsplit('.').next().unwrap_or_default().trim();
    let words = value.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
    let may_be_secret = |word: &str| is_secret_key_name(word) || looks_like_secret(word);
    if plain && harmless.contains(name) && !words.into_iter().any(may_be_secret) {
        line.len()
    } else if key.contains(['"', '\'']) {
        0
    } else {
        key.len() + 1
    }
}

/// Whether a text may be a secret: a long word, such as the 40 hex digits of an
/// Odoo API key.
pub(super) fn looks_like_secret(text: &str) -> bool {
    text.len() >= 20 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a key of this name may hold a secret. The path of a secret file and the
/// name of a credential are not secret; `credentials` is, unless it is a table.
pub(super) fn is_secret_key_name(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    if word == "credentials" {
        return true;
    }
    if word.ends_with("_file") || word == "keys" {
        return false;
    }
    ["key", "secret", "token", "passw"]
        .iter()
        .any(|part| word.contains(part))
        || strsim::damerau_levenshtein(&word, "api_key") <= 3
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{is_secret_key_name, redact_unparsed, render_excerpt};

    #[test]
    fn carets_mark_the_span() {
        let (line, column, shown) = render_excerpt("a = 1\nlisten = \"x\"\n", &(15..18), &[]);
        assert_eq!((line, column), (2, 10));
        insta::assert_snapshot!(shown, @r#"
          |
        2 | listen = "x"
          |          ^^^
        "#);
    }

    #[test]
    fn redacted_value_is_hidden_and_carets_stay_aligned() {
        let text = "p = { api_key = \"hunter2\", b = 1 }";
        let (_, _, shown) =
            render_excerpt(text, &(27..28), &[std::ops::Range { start: 16, end: 25 }]);
        insta::assert_snapshot!(shown, @r"
          |
        1 | p = { api_key = ***, b = 1 }
          |                      ^
        ");
        let (_, _, shown) =
            render_excerpt(text, &(16..25), &[std::ops::Range { start: 16, end: 25 }]);
        insta::assert_snapshot!(shown, @r"
          |
        1 | p = { api_key = ***, b = 1 }
          |                 ^^^
        ");
    }

    #[test]
    fn misspelled_secret_key_names_are_recognized() {
        for word in [
            "api_key", "apikey", "api_kee", "appi_kye", "API-KEY", "password", "api_ke",
        ] {
            assert!(is_secret_key_name(word), "{word}");
        }
        for word in ["api_key_file", "url", "listen", "models", "database"] {
            assert!(!is_secret_key_name(word), "{word}");
        }
    }

    #[test]
    fn secret_is_redacted_in_malformed_files() {
        for text in [
            "api_key = \"hunter2\nx = 1",
            "api_key = hunter2",
            "api_key =\nhunter2",
            "api_key \"hunter2\"",
            "api_key = '''\nabc=\nhunter2",
            "a = { api_key = 'hunter2 }",
            "ap}_k = \"hunter2\"",
            "url = \"x\" ap_k} \"hunter2\"",
            "url = \"x\"\n\"hunter2\"",
            "url = \"https://u:hunter2@odoo\nb",
        ] {
            let redacted = redact_unparsed(text, &BTreeSet::from(["url".to_owned()]));
            for line in 0..text.lines().count() {
                let at: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
                let (_, _, shown) = render_excerpt(text, &(at..at + 1), &redacted);
                assert!(!shown.contains("hunter2"), "{text} {shown}");
            }
        }
    }

    proptest! {
        #[test]
        fn excerpt_accepts_any_text_and_span(text in "\\PC*[\n\r\tä=]*\\PC*", a in 0_usize..80, b in 0_usize..80) {
            let (line, column, _) = render_excerpt(&text, &(a..b), &redact_unparsed(&text, &BTreeSet::new()));
            prop_assert!(line >= 1 && column >= 1);
        }
    }
}
