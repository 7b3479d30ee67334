//! The framing of HTTP/1.1 requests (RFC 9112), checked byte by byte.
//!
//! Pingora accepts lines that end with LF alone, escapes characters that a request
//! line must not contain, removes `Content-Length` beside `Transfer-Encoding`, and
//! reads a chunk without a size as the last one. A proxy in front of Gatepost that
//! reads the same bytes strictly would see different requests (RFC 9112 section
//! 11.2). So Pingora reads only bytes that were checked here, and never bytes of
//! two parts of a request at once.

/// The longest line with the size of a chunk, and the longest trailer field, in
/// bytes.
const MAX_LINE_BYTES: usize = 1 << 10;

/// Where a connection is within its requests.
#[derive(Debug)]
pub(super) struct Framing {
    part: Part,
    /// Bytes of the current head, or of the one whose body is read.
    head_bytes: usize,
    max_head_bytes: usize,
    refused: Option<FramingError>,
}

/// Why the bytes of a connection are not read any further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FramingError {
    /// The head exceeds its limit.
    HeadTooLarge,
    /// The bytes violate RFC 9112.
    Malformed,
}

/// How the body after a head is delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyLength {
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// `Content-Length`, in bytes; 0 without a body.
    Known(u64),
}

#[derive(Debug)]
enum Part {
    ChunkData(u64),
    /// After the data of a chunk; holds whether its CR was read.
    ChunkEnd(bool),
    ChunkSize(Line),
    Head(HeadLine),
    /// A head was read, and nothing may be read before its body length is known.
    HeadEnd,
    KnownLength(u64),
    Trailer(Line),
    /// HTTP/2, or a connection that is closing: nothing is checked.
    Unframed,
}

/// The line of a head that is being read.
#[derive(Debug, Default)]
struct HeadLine {
    has_text: bool,
    ends: bool,
    /// Whether this is after the request line. Empty lines before it are ignored
    /// (RFC 9112 section 2.2).
    after_first: bool,
}

/// A short line that is being read.
#[derive(Debug, Default)]
struct Line {
    text: Vec<u8>,
    ends: bool,
}

impl Framing {
    /// The framing of a new connection; that of HTTP/2 is not checked here.
    pub(super) fn new(http2: bool) -> Self {
        Self {
            part: if http2 {
                Part::Unframed
            } else {
                Part::Head(HeadLine::default())
            },
            head_bytes: 0,
            max_head_bytes: usize::MAX,
            refused: None,
        }
    }

    /// Limits the current head and those after it.
    pub(super) fn limit_head(&mut self, max_bytes: usize) {
        self.max_head_bytes = max_bytes;
    }

    /// Starts the body of the head that was read.
    pub(super) fn start_body(&mut self, length: BodyLength) {
        match length {
            BodyLength::Chunked => self.part = Part::ChunkSize(Line::default()),
            BodyLength::Known(0) => self.start_head(),
            BodyLength::Known(length) => self.part = Part::KnownLength(length),
        }
    }

    /// Stops checking, because the connection is closing and what arrives is
    /// discarded.
    pub(super) fn stop(&mut self) {
        self.part = Part::Unframed;
    }

    /// Bytes of the current head, or of the one whose body is read.
    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// The error that ended the reading, if one did.
    pub(super) fn refused(&self) -> Option<FramingError> {
        self.refused
    }

    /// Checks the next bytes and returns how many of them belong to the current
    /// part; the rest is for the next call.
    ///
    /// # Errors
    /// [`FramingError`], once; what follows is not checked any more.
    pub(super) fn accept(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        self.check(bytes).inspect_err(|error| {
            self.refused = Some(*error);
            self.part = Part::Unframed;
        })
    }

    fn check(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            // Data is not inspected.
            if let Part::ChunkData(left) | Part::KnownLength(left) = &mut self.part {
                let rest = bytes.len().saturating_sub(at);
                let taken = usize::try_from(*left).map_or(rest, |left| left.min(rest));
                at = at.saturating_add(taken);
                *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                if *left > 0 {
                    continue;
                }
                if matches!(self.part, Part::KnownLength(_)) {
                    self.start_head();
                    return Ok(at);
                }
                self.part = Part::ChunkEnd(false);
                continue;
            }
            if matches!(self.part, Part::Unframed) {
                return Ok(bytes.len());
            }
            at = at.saturating_add(1);
            if self.step(*byte)? {
                return Ok(at);
            }
        }
        Ok(at)
    }

    /// Reads one byte of a line; true at the end of a head or a body.
    fn step(&mut self, byte: u8) -> Result<bool, FramingError> {
        match &mut self.part {
            Part::Head(line) => {
                self.head_bytes = self.head_bytes.saturating_add(1);
                if self.head_bytes > self.max_head_bytes {
                    return Err(FramingError::HeadTooLarge);
                }
                if line.step(byte)? {
                    self.part = Part::HeadEnd;
                    return Ok(true);
                }
            }
            Part::ChunkSize(line) => {
                if let Some(text) = line.step(byte)? {
                    self.part = match chunk_size(&text).ok_or(FramingError::Malformed)? {
                        0 => Part::Trailer(Line::default()),
                        size => Part::ChunkData(size),
                    };
                }
            }
            Part::ChunkEnd(ends) => match (byte, *ends) {
                (b'\r', false) => *ends = true,
                (b'\n', true) => self.part = Part::ChunkSize(Line::default()),
                _ => return Err(FramingError::Malformed),
            },
            Part::Trailer(line) => match line.step(byte)? {
                Some(text) if text.is_empty() => {
                    self.start_head();
                    return Ok(true);
                }
                Some(text) if !is_field_line(&text) => return Err(FramingError::Malformed),
                Some(_) | None => {}
            },
            // Pingora reads nothing between the head and its body.
            Part::HeadEnd => return Err(FramingError::Malformed),
            Part::ChunkData(_) | Part::KnownLength(_) | Part::Unframed => {}
        }
        Ok(false)
    }

    fn start_head(&mut self) {
        self.part = Part::Head(HeadLine::default());
        self.head_bytes = 0;
    }
}

impl HeadLine {
    /// Reads one byte; true at the end of the head.
    fn step(&mut self, byte: u8) -> Result<bool, FramingError> {
        match (byte, self.ends) {
            (b'\r', false) => self.ends = true,
            (b'\n', true) => {
                if !self.has_text && self.after_first {
                    return Ok(true);
                }
                *self = Self {
                    after_first: self.has_text || self.after_first,
                    ..Self::default()
                };
            }
            // A CR or LF alone (RFC 9112 section 2.2).
            (b'\n', false) | (_, true) => return Err(FramingError::Malformed),
            (_, false) => self.has_text = true,
        }
        Ok(false)
    }
}

impl Line {
    /// Reads one byte; the text of the line at its end.
    fn step(&mut self, byte: u8) -> Result<Option<Vec<u8>>, FramingError> {
        match (byte, self.ends) {
            (b'\r', false) => self.ends = true,
            (b'\n', true) => {
                self.ends = false;
                return Ok(Some(std::mem::take(&mut self.text)));
            }
            (b'\n', false) | (_, true) => return Err(FramingError::Malformed),
            (_, false) if self.text.len() >= MAX_LINE_BYTES => return Err(FramingError::Malformed),
            (_, false) => self.text.push(byte),
        }
        Ok(None)
    }
}

/// The size in a line `chunk-size [ chunk-ext ]` (RFC 9112 section 7.1). Extensions
/// are ignored, as the section requires of unknown ones.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, mut rest) = line.split_at_checked(digits)?;
    while !rest.is_empty() {
        rest = chunk_extension(rest)?;
    }
    // It is not empty and has no sign.
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

/// What follows `BWS ";" BWS name [ BWS "=" BWS value ]` (RFC 9112 section 7.1.1).
fn chunk_extension(line: &[u8]) -> Option<&[u8]> {
    let rest = skip_space(skip_space(line).strip_prefix(b";")?);
    let rest = skip_token(rest)?;
    let Some(value) = skip_space(rest).strip_prefix(b"=") else {
        return Some(rest);
    };
    let value = skip_space(value);
    match value.strip_prefix(b"\"") {
        Some(quoted) => skip_quoted(quoted),
        None => skip_token(value),
    }
}

fn skip_space(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    text.get(spaces.count()..).unwrap_or_default()
}

fn skip_token(text: &[u8]) -> Option<&[u8]> {
    match text.iter().take_while(|b| is_token_char(**b)).count() {
        0 => None,
        length => text.get(length..),
    }
}

/// What follows the closing quote (RFC 9110 section 5.6.4).
fn skip_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_field_char(*escaped) => rest,
            [b'\\', ..] => return None,
            [plain, rest @ ..] if is_field_char(*plain) => rest,
            _ => return None,
        };
    }
}

/// Whether a line is `field-name ":" field-value` (RFC 9112 section 5).
fn is_field_line(line: &[u8]) -> bool {
    skip_token(line)
        .and_then(|rest| rest.strip_prefix(b":"))
        .is_some_and(|value| value.iter().all(|b| is_field_char(*b)))
}

/// Visible characters, white space and `obs-text` (RFC 9110 section 5.5).
fn is_field_char(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// `tchar` (RFC 9110 section 5.6.2).
fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BodyLength, Framing, FramingError, MAX_LINE_BYTES};

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// Passes the bytes in pieces of this size, and returns the parts: each head,
    /// and each body, which `length` delimits.
    fn parts(bytes: &[u8], piece: usize, length: BodyLength) -> Result<Vec<Vec<u8>>, FramingError> {
        let mut framing = Framing::new(false);
        let mut parts = vec![Vec::new()];
        let mut in_head = true;
        for mut piece in bytes.chunks(piece.max(1)) {
            while !piece.is_empty() {
                let accepted = framing.accept(piece)?;
                assert!(accepted > 0);
                let (part, rest) = piece.split_at(accepted);
                parts.last_mut().unwrap().extend_from_slice(part);
                let ended = match framing.part {
                    super::Part::HeadEnd => in_head,
                    super::Part::Head(_) => !in_head,
                    super::Part::ChunkData(_)
                    | super::Part::ChunkEnd(_)
                    | super::Part::ChunkSize(_)
                    | super::Part::KnownLength(_)
                    | super::Part::Trailer(_)
                    | super::Part::Unframed => false,
                };
                if ended {
                    if in_head {
                        framing.start_body(length);
                    }
                    in_head = !in_head;
                    parts.push(Vec::new());
                }
                piece = rest;
            }
        }
        Ok(parts)
    }

    fn chunked(body: &str) -> Result<Vec<Vec<u8>>, FramingError> {
        let whole = [HEAD, body.as_bytes(), b"POST"].concat();
        parts(&whole, whole.len(), BodyLength::Chunked)
    }

    #[test]
    fn valid_chunks_end_exactly_where_the_next_request_starts() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
            "A;name\r\n0123456789\r\n0\r\n\r\n",
            "2 ; a = b\t;c=\"d;\\\"\u{e9}\"\r\n{}\r\n0\r\n\r\n",
            "2\r\n\r\n\r\n0;last=1\r\nTrailer: 1\r\nOther:\r\n\r\n",
        ] {
            let parts = chunked(body).unwrap_or_else(|_| panic!("{body:?}"));
            let text: Vec<_> = parts
                .iter()
                .map(|part| String::from_utf8_lossy(part))
                .collect();
            assert_eq!(&text[1..], [body, "POST"], "{body:?}");
        }
    }

    #[test]
    fn invalid_chunks_are_malformed() {
        let long = format!("1;{}\r\n", "x".repeat(MAX_LINE_BYTES));
        for body in [
            // A bare LF, in each place.
            "2;a\nx\r\n{}\r\n0\r\n\r\n",
            "2\n{}\r\n0\r\n\r\n",
            "2\r\n{}\n0\r\n\r\n",
            "0\n\r\n",
            "0\r\n\n",
            "0\r\nA: b\n\r\n",
            // A bare CR.
            "2\r{}\r\n0\r\n\r\n",
            "0\r\n\rX",
            // No size.
            "\r\n\r\n",
            ";ext\r\n\r\n",
            " 0\r\n\r\n",
            // Not hexadecimal, signed, or beyond 64 bits.
            "+2\r\n{}\r\n",
            "0x2\r\n{}\r\n",
            "2_\r\n{}\r\n",
            "10000000000000000\r\n",
            // Not an extension.
            "2 \r\n{}\r\n",
            "2;\r\n{}\r\n",
            "2;=1\r\n{}\r\n",
            "2;a=\r\n{}\r\n",
            "2;a=\"b\r\n{}\r\n",
            "2;a b\r\n{}\r\n",
            "2;a=\"\u{1}\"\r\n{}\r\n",
            // Data that is longer or shorter than its size.
            "2\r\n{}x\r\n",
            "3\r\n{}\r\n0\r\n",
            // Not a trailer field.
            "0\r\nA\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\nA: \u{0}\r\n\r\n",
            long.as_str(),
        ] {
            assert_eq!(
                chunked(body).unwrap_err(),
                FramingError::Malformed,
                "{body:?}"
            );
        }
    }

    #[test]
    fn bare_line_ends_in_a_head_are_malformed() {
        for head in [
            "POST / HTTP/1.1\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n\n",
            "POST / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n",
            "\nPOST / HTTP/1.1\r\n\r\n",
        ] {
            let refused = parts(head.as_bytes(), 7, BodyLength::Known(0));
            assert_eq!(refused.unwrap_err(), FramingError::Malformed, "{head:?}");
        }
        let ignored = [b"\r\n\r\n", HEAD].concat();
        assert_eq!(
            parts(&ignored, 3, BodyLength::Known(0)).unwrap()[0],
            ignored
        );
    }

    #[test]
    fn head_limit_counts_every_byte_of_the_head() {
        for (limit, fits) in [(HEAD.len(), true), (HEAD.len() - 1, false)] {
            let mut framing = Framing::new(false);
            framing.limit_head(limit);
            let accepted = framing.accept(HEAD);
            assert_eq!(accepted.is_ok(), fits);
            assert_eq!(framing.refused(), accepted.err());
        }
    }

    #[test]
    fn nothing_is_accepted_between_a_head_and_its_body_length() {
        let mut framing = Framing::new(false);
        assert_eq!(framing.accept(&[HEAD, b"{}"].concat()), Ok(HEAD.len()));
        assert_eq!(framing.accept(b"{}"), Err(FramingError::Malformed));
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_the_parts(
            bodies in prop::collection::vec("[0-9a-f;=\r\n ]{0,12}", 0..4),
            piece in 1_usize..40,
            is_chunked: bool,
        ) {
            let length = if is_chunked { BodyLength::Chunked } else { BodyLength::Known(5) };
            let mut whole = Vec::new();
            for body in &bodies {
                whole.extend_from_slice(HEAD);
                whole.extend_from_slice(body.as_bytes());
            }
            let at_once = parts(&whole, whole.len(), length);
            prop_assert_eq!(parts(&whole, piece, length), at_once);
        }
    }
}
