//! Which characters of a text no reader sees, although they are there.

use std::{iter::Peekable, str::CharIndices};

/// The sequences of tags after a black flag (U+1F3F4) that are emoji: the flags of
/// England, Scotland and Wales (Unicode Technical Standard 51, `RGI_Emoji_Tag_Sequence`).
/// All other tags spell text that no reader sees.
const FLAG_TAGS: [&str; 3] = [
    "\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

/// The characters of a text, each with whether it is hidden.
///
/// Hidden are controls, bidirectional controls (Unicode Standard Annex 9), characters
/// without width, fillers and tags. Joiners (U+200C, U+200D), variation selectors and
/// tags are not hidden where a script or an emoji needs them.
pub(crate) struct MarkedChars<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    previous: Option<char>,
    /// Characters of an emoji that are still to come.
    flag_tags: usize,
}

impl<'t> MarkedChars<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Self {
            text,
            chars: text.char_indices().peekable(),
            previous: None,
            flag_tags: 0,
        }
    }
}

impl Iterator for MarkedChars<'_> {
    type Item = (char, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let (at, char) = self.chars.next()?;
        let previous = self.previous.replace(char);
        // Most of most texts, and no part of an emoji or of a joined word.
        if char.is_ascii() {
            return Some((char, char.is_ascii_control()));
        }
        let next = self.chars.peek().map(|(_, next)| *next);
        if char == '\u{1f3f4}' {
            let rest = self.text.get(at + char.len_utf8()..).unwrap_or_default();
            let tags = FLAG_TAGS.iter().find(|tags| rest.starts_with(**tags));
            self.flag_tags = tags.map_or(0, |tags| tags.chars().count());
            return Some((char, false));
        }
        if self.flag_tags > 0 {
            self.flag_tags -= 1;
            return Some((char, false));
        }
        let is_needed = match char {
            '\u{200c}' => joins_letters(previous, next),
            '\u{200d}' => joins_letters(previous, next) || joins_emoji(previous, next),
            // One after a character that it can vary; more of them spell hidden text.
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' => {
                previous.is_some_and(|base| !base.is_whitespace() && !is_invisible(base))
            }
            _ => false,
        };
        Some((char, is_invisible(char) && !is_needed))
    }

    fn count(self) -> usize {
        self.chars.count()
    }
}

/// Whether a joiner changes how letters look: after a virama (RFC 5892 appendix A.1), or
/// between two letters of scripts that use joiners.
fn joins_letters(previous: Option<char>, next: Option<char>) -> bool {
    previous.is_some_and(is_virama)
        || (previous.is_some_and(is_of_joining_script) && next.is_some_and(is_of_joining_script))
}

fn joins_emoji(previous: Option<char>, next: Option<char>) -> bool {
    let is_emoji = |char| {
        matches!(char,
            '\u{a9}' | '\u{ae}' | '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
    };
    previous.is_some_and(|char| char == '\u{fe0f}' || is_emoji(char)) && next.is_some_and(is_emoji)
}

/// The virama of the Indic scripts, Sinhala, Myanmar and Khmer.
fn is_virama(char: char) -> bool {
    matches!(
        char,
        '\u{94d}'
            | '\u{9cd}'
            | '\u{a4d}'
            | '\u{acd}'
            | '\u{b4d}'
            | '\u{bcd}'
            | '\u{c4d}'
            | '\u{ccd}'
            | '\u{d4d}'
            | '\u{dca}'
            | '\u{1039}'
            | '\u{103a}'
            | '\u{17d2}'
    )
}

/// A character of a script that uses joiners: Arabic (Persian, Kurdish, Urdu), Syriac,
/// N'Ko, Mandaic; the Indic scripts and Sinhala; Tibetan, Myanmar, Khmer, Mongolian;
/// those of the second plane; Adlam.
fn is_of_joining_script(char: char) -> bool {
    !is_invisible(char)
        && !char.is_whitespace()
        && matches!(char,
            '\u{620}'..='\u{dff}' | '\u{f00}'..='\u{109f}' | '\u{1780}'..='\u{18af}'
            | '\u{a840}'..='\u{abff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
            | '\u{10840}'..='\u{11fff}' | '\u{1e900}'..='\u{1e95f}')
}

/// Whether a character alone shows nothing. Spaces do.
fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::MarkedChars;

    fn hidden(text: &str) -> Vec<char> {
        let hidden = MarkedChars::of(text).filter(|(_, is_hidden)| *is_hidden);
        hidden.map(|(char, _)| char).collect()
    }

    #[test]
    fn scripts_and_emoji_have_no_hidden_characters() {
        for text in [
            "می\u{200c}خواهم",
            "نامه\u{200c}ای",
            "क्\u{200d}ष",
            "क्\u{200c}ष",
            "ന്\u{200d}",
            "ශ්\u{200d}රී",
            "👨\u{200d}👩\u{200d}👧",
            "🏳\u{fe0f}\u{200d}🌈",
            "👩🏽\u{200d}⚕\u{fe0f}",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "葛\u{e0100}城",
            "日本語 العربية עברית ไทย Ελλάδα Zürich e\u{301}",
        ] {
            assert_eq!(hidden(text), [], "{text:?}");
        }
    }

    #[test]
    fn characters_that_show_nothing_are_hidden() {
        for text in [
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{200c}b",
            "می\u{200c}\u{200c}خواهم".trim_start_matches("می\u{200c}"),
            "\u{202e}x",
            "x\u{2066}",
            "a\u{7}",
            "a\u{ad}b",
            "a\u{3164}",
            "🏴\u{e0061}",
            "a\u{e0041}",
            "a \u{fe0f}",
            "👍\u{200d}a",
            "\u{feff}a",
        ] {
            assert_eq!(hidden(text).len(), 1, "{text:?}");
        }
        // Of several selectors only the first one varies a character.
        assert_eq!(hidden("a\u{fe00}\u{fe01}\u{e0101}").len(), 2);
    }
}
