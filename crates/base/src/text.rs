//! Untrusted text, made safe for one line.

use std::fmt::{self, Write as _};

/// The characters shown of one table cell.
pub const MAX_CELL_CHARS: usize = 160;

/// Appends formatted text.
pub fn append(text: &mut String, part: fmt::Arguments<'_>) {
    let written = text.write_fmt(part);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// A count, such as `1 record` or `20 records`.
pub fn pluralize(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A text on one line, cut after `max_chars` characters with the number of
/// characters omitted.
///
/// Line ends and tabs become `\n` and `\t`, the column separator `|` becomes
/// `\|`; other control characters and bidirectional ones are removed. Records
/// contain text of anyone who sent a mail to the company, which must not leave
/// its table cell.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max_chars) + 8);
    let mut chars = text.trim().chars().enumerate();
    for (taken, char) in chars.by_ref() {
        if taken == max_chars {
            let rest = 1 + chars.count();
            append(&mut line, format_args!("…(+{rest} chars)"));
            return line;
        }
        match char {
            '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{b}' | '\u{c}' => line.push_str("\\n"),
            '\r' => {}
            '\t' => line.push_str("\\t"),
            '|' => line.push_str("\\|"),
            hidden if is_hidden(hidden) => {}
            plain => line.push(plain),
        }
    }
    line
}

/// Invisible characters that change how others are displayed: controls,
/// bidirectional ones (Unicode Standard Annex 9), zero width, tags.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}' | '\u{61c}')
}

/// The text of formatted text: tags away, the five named entities and spaces
/// read, what begins a block on a line of its own.
pub fn html_to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        let Some((tag, after)) = tag.split_once('>') else {
            // No tag, just a sign.
            text.push('<');
            rest = tag;
            continue;
        };
        let name = tag.trim_start_matches('/').to_ascii_lowercase();
        let breaks = [
            "br", "p", "div", "li", "tr", "h1", "h2", "h3", "ul", "table",
        ];
        let word: String = name
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        if breaks.contains(&word.as_str()) && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        rest = after;
    }
    text.push_str(rest);
    let text = text
        .replace("&nbsp;", " ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{html_to_text, one_line};

    #[test]
    fn text_stays_on_one_line_in_its_cell() {
        assert_eq!(one_line("a | b\nc\td\r\n", 99), "a \\| b\\nc\\td");
        assert_eq!(one_line("x\u{202e}y\u{200b}z\u{7}", 99), "xyz");
        assert_eq!(one_line("abcdef", 4), "abcd…(+2 chars)");
    }

    #[test]
    fn html_becomes_plain_text() {
        assert_eq!(
            html_to_text("<p>Hello <b>you</b></p><p>a &lt; b &amp;&nbsp;c</p>"),
            "Hello you\na < b & c"
        );
        assert_eq!(html_to_text("1 < 2"), "1 < 2");
        assert_eq!(html_to_text("<script"), "<script");
    }

    proptest! {
        #[test]
        fn any_text_stays_on_one_line_and_escapes_pipes(text in any::<String>()) {
            let line = one_line(&text, 50);
            prop_assert!(!line.contains('\n') && !line.contains('\r'));
            prop_assert!(!line.replace("\\|", "").contains('|'));
        }
    }
}
