//! Untrusted text, made safe for one line.

use std::{
    convert::Infallible,
    fmt::{self, Write as _},
};

use html5gum::{Readable, Reader, Token, Tokenizer};
use serde_json::Value;

use crate::hidden_chars::MarkedChars;

/// The characters shown of one table cell.
pub const MAX_CELL_CHARS: usize = 160;
/// Marks where a text was cut; how much is missing follows.
pub const CUT_MARK: &str = "…(+";

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

/// Joins parts until the text has `max_bytes`, but always at least the first one.
/// `rest` describes those that are left out; it gets the index of the first.
pub fn join_bounded(
    parts: impl IntoIterator<Item = String>,
    separator: &str,
    max_bytes: usize,
    rest: impl FnOnce(usize) -> String,
) -> String {
    let mut text = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            text.push_str(separator);
            if text.len() + part.len() > max_bytes {
                text.push_str(&rest(index));
                break;
            }
        }
        text.push_str(&part);
    }
    text
}

/// A text on one line, cut after `max_chars` characters with the number of
/// characters omitted.
///
/// Line ends and tabs become `\n` and `\t`, the column separator `|` becomes
/// `\|`; hidden characters are removed, and their number is added. Joiners stay where
/// scripts and emoji need them. Records contain text of anyone who sent a mail to the
/// company, which must not leave its table cell.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max_chars) + 8);
    append_one_line(&mut line, text, max_chars);
    line
}

/// Appends a text as [`one_line`] returns it.
pub fn append_one_line(line: &mut String, text: &str, max_chars: usize) {
    let mut chars = MarkedChars::of(text.trim()).enumerate();
    let mut hidden_count = 0_usize;
    let mut rest = 0;
    for (taken, (char, is_hidden)) in chars.by_ref() {
        if taken == max_chars {
            rest = 1 + chars.count();
            break;
        }
        match char {
            '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{b}' | '\u{c}' => line.push_str("\\n"),
            '\r' => {}
            '\t' => line.push_str("\\t"),
            '|' => line.push_str("\\|"),
            _ if is_hidden => hidden_count += 1,
            plain => line.push(plain),
        }
    }
    if rest > 0 {
        append(line, format_args!("{CUT_MARK}{rest} chars)"));
    }
    if hidden_count > 0 {
        append(line, format_args!("…({hidden_count} hidden)"));
    }
}

/// A text without hidden characters, except for the ends of its lines.
pub fn without_hidden(text: &str) -> impl Iterator<Item = char> {
    MarkedChars::of(text)
        .filter(|(char, hidden)| *char == '\n' || !hidden)
        .map(|(char, _)| char)
}

/// Whether a text has a character that a reader sees.
pub fn has_visible_text(text: &str) -> bool {
    MarkedChars::of(text).any(|(char, is_hidden)| !is_hidden && !char.is_whitespace())
}

/// A text on one line in which a reader sees all that is in it.
///
/// For what is going to be written: hidden characters, line ends and backslashes become
/// escapes, `\u{200b}`. Returns also the number of characters that are left out, after
/// `max_chars`.
pub fn visible_text(text: &str, max_chars: usize) -> (String, usize) {
    let mut line = String::with_capacity(text.len().min(max_chars) + 8);
    let mut chars = MarkedChars::of(text);
    for marked in chars.by_ref().take(max_chars) {
        match marked {
            ('\n', _) => line.push_str("\\n"),
            ('\r', _) => line.push_str("\\r"),
            ('\t', _) => line.push_str("\\t"),
            ('\\', _) => line.push_str("\\\\"),
            (hidden, true) => append(&mut line, format_args!("{}", hidden.escape_unicode())),
            (plain, false) => line.push(plain),
        }
    }
    (line, chars.count())
}

/// JSON on one line in which a reader sees all that is in it, as in [`visible_text`].
/// JSON's own escapes stay. Returns also the number of characters that are left out.
pub fn visible_json(value: &Value, max_chars: usize) -> (String, usize) {
    let text = value.to_string();
    let mut line = String::with_capacity(text.len().min(max_chars) + 8);
    let mut chars = MarkedChars::of(&text);
    for marked in chars.by_ref().take(max_chars) {
        match marked {
            (hidden, true) => append(&mut line, format_args!("{}", hidden.escape_unicode())),
            (plain, false) => line.push(plain),
        }
    }
    (line, chars.count())
}

/// Bytes of HTML that are read for each shown character, and the least that is
/// read: mails begin with style sheets.
const HTML_BYTES_PER_CHAR: usize = 16;
const MIN_HTML_BYTES: usize = 16 << 10;

/// Appends the text that HTML shows, as [`append_one_line`] does. Only as much of
/// the HTML is read as can be shown; a mark says how much was left out.
pub fn append_html_line(line: &mut String, html: &str, max_chars: usize) {
    let most = MIN_HTML_BYTES + HTML_BYTES_PER_CHAR * max_chars;
    let read = truncated(html, most);
    if read.len() == html.len() {
        append_one_line(line, &html_to_text(html), max_chars);
        return;
    }
    // A tag that the cut opened is not text.
    let (read, _) = split_unclosed_tag(read);
    append_one_line(line, &html_to_text(read), max_chars);
    let rest = html.len() - read.len();
    append(line, format_args!("{CUT_MARK}{rest} bytes of HTML)"));
}

/// The beginning of a text: at most `max_bytes` of it, without cutting a character.
pub fn truncated(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let mut end = max_bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The first `max_chars` characters of a text.
pub fn first_chars(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}

/// The first `max_chars` characters of a text, followed by `…` if there are more.
pub fn excerpt(text: &str, max_chars: usize) -> String {
    let mut start = first_chars(text, max_chars);
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// A text of at most `max_bytes` and a mark, if it was cut.
pub fn bounded(mut text: String, max_bytes: usize) -> String {
    let end = truncated(&text, max_bytes).len();
    if end < text.len() {
        text.truncate(end);
        text.push_str("… (cut, because it is too long)");
    }
    text
}

/// HTML elements that begin on a new line, separated by spaces.
const BLOCKS: &str =
    "article blockquote br dd div dt footer h1 h2 h3 h4 h5 h6 header hr li ol p table tr ul";
/// HTML elements whose content is not shown, separated by spaces.
const HIDDEN: &str = "script style template title";

/// Returns the text that HTML shows, each block on a line of its own.
///
/// Tags, comments and hidden elements such as `<script>` are dropped, and
/// character references are decoded. The time is linear in the length of the HTML.
pub fn html_to_text(html: &str) -> String {
    let (html, unclosed_tag) = split_unclosed_tag(html);
    let mut text = String::with_capacity(html.len());
    if shown_text(html, &mut text) {
        text.push_str(unclosed_tag);
    }
    text.replace('\u{a0}', " ").trim().to_owned()
}

/// Appends the text of HTML; returns whether what follows it would be shown, too.
fn shown_text<'h, R>(html: R, text: &mut String) -> bool
where
    R: Readable<'h>,
    R::Reader: Reader<Error = Infallible>,
{
    let mut hidden_depth = 0_usize;
    let is_one_of = |names: &str, name: &[u8]| names.split(' ').any(|one| one.as_bytes() == name);
    for Ok(token) in Tokenizer::new(html) {
        let (name, is_start) = match &token {
            Token::StartTag(tag) => (&*tag.name, true),
            Token::EndTag(tag) => (&*tag.name, false),
            Token::String(shown) if hidden_depth == 0 => {
                text.push_str(&String::from_utf8_lossy(shown));
                continue;
            }
            Token::String(_) | Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => continue,
        };
        if is_one_of(HIDDEN, name) {
            hidden_depth = if is_start {
                hidden_depth.saturating_add(1)
            } else {
                hidden_depth.saturating_sub(1)
            };
        } else if is_one_of(BLOCKS, name) && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
    }
    hidden_depth == 0
}

/// Splits off a tag that the end of the text cuts off. A browser drops it, but
/// it may be no tag: the text of a person who writes `a <b`.
fn split_unclosed_tag(html: &str) -> (&str, &str) {
    let open = html.rfind('<').filter(|open| {
        let tag = html.get(open + 1..).unwrap_or_default();
        !tag.contains('>') && tag.starts_with(|first: char| first.is_ascii_alphabetic())
    });
    html.split_at(open.unwrap_or(html.len()))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use html5gum::{Readable, Reader, StringReader};
    use proptest::prelude::*;

    use super::{
        append_html_line, bounded, has_visible_text, html_to_text, one_line, shown_text, truncated,
        visible_json, visible_text,
    };

    #[test]
    fn text_stays_on_one_line_in_its_cell() {
        assert_eq!(one_line("a | b\nc\td\r\n", 99), "a \\| b\\nc\\td");
        assert_eq!(one_line("x\u{202e}y\u{200b}z\u{7}", 99), "xyz…(3 hidden)");
        assert_eq!(
            one_line("می\u{200c}خواهم 👨\u{200d}👧", 99),
            "می\u{200c}خواهم 👨\u{200d}👧"
        );
        assert_eq!(one_line("abcdef", 4), "abcd…(+2 chars)");
    }

    #[test]
    fn visible_text_shows_every_character_and_is_unambiguous() {
        let text = " a\u{200b}b\n\\n|\u{202e}👨\u{200d}👧 ";
        let shown = visible_text(text, 99);
        assert_eq!(shown, (r" a\u{200b}b\n\\n|\u{202e}👨‍👧 ".to_owned(), 0));
        assert_eq!(visible_text("abc", 2), ("ab".to_owned(), 1));
        let json = serde_json::json!({"a": "x\u{feff}\n"});
        assert_eq!(
            visible_json(&json, 99),
            (r#"{"a":"x\u{feff}\n"}"#.to_owned(), 0)
        );
        assert!(!has_visible_text("\u{200b} \u{202e}") && has_visible_text("\u{200b}x"));
    }

    #[test]
    fn html_becomes_plain_text() {
        assert_eq!(
            html_to_text("<p>Hello <b>you</b></p><p>a &lt; b &amp;&nbsp;c</p>"),
            "Hello you\na < b & c"
        );
        assert_eq!(html_to_text("1 < 2"), "1 < 2");
        assert_eq!(html_to_text("<script"), "<script");
        assert_eq!(html_to_text("a <b &amp; c"), "a <b &amp; c");
    }

    #[test]
    fn hidden_content_of_html_is_left_out() {
        for html in [
            "<style>p { color: red }</style>a<SCRIPT>if (1 < 2) alert('<p>b</p>')</SCRIPT><p>c",
            "<html><head><title>x</title></head><body>a<!-- <p>b</p> --><br/>c</body></html>",
            "a<template><p>b<template>b</template>b</p></template><p>c",
            "a<p>c<script>b<b",
        ] {
            assert_eq!(html_to_text(html), "a\nc", "{html}");
        }
    }

    #[test]
    fn character_references_are_decoded_once() {
        let html = "&#233;&#xE9;&eacute; &euro; &#128512; &amp;lt; &copy &nosuch; &#0; &#xD800;";
        let text = "\u{e9}\u{e9}\u{e9} \u{20ac} \u{1f600} &lt; \u{a9} &nosuch; \u{fffd} \u{fffd}";
        assert_eq!(html_to_text(html), text);
    }

    #[test]
    fn lists_and_links_keep_their_text() {
        let html = "<ul><li>a<ul><li>b</li><li><a href=\"https://odoo.test/?a>b\">c</a></li></ul></li>\
                    <li>d</li></ul><table><tr><td>e</td><td> f</td></tr></table>";
        assert_eq!(html_to_text(html), "a\nb\nc\nd\ne f");
    }

    /// A reader that counts the bytes that are read or compared.
    struct CountingReader<'r> {
        inner: StringReader<'r>,
        work: &'r Cell<usize>,
    }

    impl Reader for CountingReader<'_> {
        type Error = Infallible;

        fn read_byte(&mut self) -> Result<Option<u8>, Infallible> {
            self.work.set(self.work.get() + 1);
            self.inner.read_byte()
        }

        fn try_read_string(&mut self, text: &[u8], exact: bool) -> Result<bool, Infallible> {
            self.work.set(self.work.get() + text.len());
            self.inner.try_read_string(text, exact)
        }

        fn read_until<'b>(
            &'b mut self,
            needle: &[u8],
            buffer: &'b mut [u8; 4],
        ) -> Result<Option<&'b [u8]>, Infallible> {
            let read = self.inner.read_until(needle, buffer)?;
            self.work
                .set(self.work.get() + 1 + read.map_or(0, <[u8]>::len));
            Ok(read)
        }
    }

    const HOSTILE: [&str; 10] = [
        "<",
        "<a ",
        "<p>",
        "<!--",
        "<script>",
        "</",
        "&",
        "&#",
        "<a href='",
        "<b x=1 x=1 ",
    ];

    #[test]
    fn work_for_hostile_html_grows_with_its_length_only() {
        for part in HOSTILE {
            let html = part.repeat(400_000 / part.len());
            let work = Cell::new(0);
            let reader = CountingReader {
                inner: html.as_str().to_reader(),
                work: &work,
            };
            let mut text = String::new();
            shown_text(reader, &mut text);
            assert!(text.len() <= html.len(), "{part}");
            assert!(work.get() <= 20 * html.len(), "{part}: {}", work.get());
        }
    }

    #[test]
    fn only_html_that_can_be_shown_is_read() {
        for part in HOSTILE {
            let mut line = String::new();
            append_html_line(&mut line, &part.repeat(1 << 20), 160);
            assert!(line.len() < 1_000, "{part}: {}", line.len());
            assert!(line.ends_with(" bytes of HTML)"), "{part}: {line}");
        }
        let mut line = String::new();
        append_html_line(&mut line, "<p>a<p>b", 160);
        assert_eq!(line, "a\\nb");
        line.clear();
        append_html_line(&mut line, &format!("<p>é{}", "<b>".repeat(20_000)), 160);
        assert_eq!(line, "é…(+41061 bytes of HTML)");
    }

    #[test]
    fn cut_text_keeps_whole_characters_and_says_so() {
        assert_eq!(truncated("aéé", 2), "a");
        assert_eq!(truncated("aé", 3), "aé");
        assert_eq!(bounded("aé".to_owned(), 3), "aé");
        assert_eq!(
            bounded("aéé".to_owned(), 3),
            "aé… (cut, because it is too long)"
        );
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
