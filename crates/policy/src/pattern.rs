//! Patterns over names.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A name, or a prefix followed by `*`: `sale.order`, `sale.*`, `*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    text: Box<str>,
    is_prefix: bool,
}

/// Not a pattern.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a pattern; write a name such as `sale.order`, or a prefix with one `*` at the end such as `sale.*`"
)]
pub struct InvalidPattern(String);

impl Pattern {
    /// Parses a name with at most one `*`, at the end.
    ///
    /// # Errors
    /// [`InvalidPattern`] with the text, cut short.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let (body, open) = text
            .strip_suffix('*')
            .map_or((text, false), |body| (body, true));
        let fits = body.len() <= 128
            && body.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
            });
        if fits && (open || !body.is_empty()) {
            Ok(Self {
                text: body.into(),
                is_prefix: open,
            })
        } else {
            Err(InvalidPattern(text.chars().take(80).collect()))
        }
    }

    /// The pattern `*`.
    pub fn everything() -> Self {
        Self {
            text: "".into(),
            is_prefix: true,
        }
    }

    /// Whether the pattern is `*`.
    pub fn is_everything(&self) -> bool {
        self.is_prefix && self.text.is_empty()
    }

    /// Whether the pattern ends in `*`.
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether the pattern covers the name.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_prefix {
            name.starts_with(&*self.text)
        } else {
            name == &*self.text
        }
    }

    /// Whether the pattern covers every name that the other one covers.
    pub fn covers(&self, other: &Self) -> bool {
        if self.is_prefix {
            other.text.starts_with(&*self.text)
        } else {
            self == other
        }
    }

    /// Whether the pattern is exactly this name, without a `*`.
    pub fn is_exactly(&self, name: &str) -> bool {
        !self.is_prefix && name == &*self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.is_prefix {
            f.write_str("*")
        } else {
            Ok(())
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}
