//! Errors and warnings about a configuration, with their location.

use std::{fmt, path::PathBuf};

/// One error, or a warning if it is in [`ValidConfig::warnings`](super::ValidConfig::warnings).
///
/// Its `Display` is for administrators: location, key, source line, cause and how
/// to mend it. It never contains the value of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Where the key was set.
    pub location: ConfigLocation,
    /// The key, such as `instances.production.url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// Which part of an entry is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EntryPart {
    /// The key.
    Key,
    /// The value; the header of a table.
    Value,
}

/// Where a key of the configuration was set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigLocation {
    /// On the command line, by the named option.
    CommandLine(&'static str),
    /// In the named environment variable.
    Environment(String),
    /// In the file, at a line and a column, both from 1.
    File {
        /// The path of the file, as given.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
        /// The line with carets under it, secrets redacted.
        excerpt: String,
    },
    /// In the file as a whole, or in another file that it names.
    WholeFile(PathBuf),
    /// Nowhere: a key is missing and there is no file.
    NoFile,
}

impl ConfigLocation {
    /// The line in the file, if it is known.
    pub fn line(&self) -> Option<usize> {
        self.line_and_column().map(|(line, _)| line)
    }

    /// The column in the file, if it is known.
    pub fn column(&self) -> Option<usize> {
        self.line_and_column().map(|(_, column)| column)
    }

    fn line_and_column(&self) -> Option<(usize, usize)> {
        match self {
            Self::File { line, column, .. } => Some((*line, *column)),
            Self::CommandLine(_) | Self::Environment(_) | Self::WholeFile(_) | Self::NoFile => None,
        }
    }
}

impl fmt::Display for ConfigLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(option) => write!(f, "option `{option}`"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File {
                path, line, column, ..
            } => write!(f, "{} at line {line}, column {column}", path.display()),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
            Self::NoFile => f.write_str("configuration"),
        }
    }
}

impl ConfigError {
    pub(super) fn new(
        location: ConfigLocation,
        path: &[String],
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        Self {
            location,
            key: dotted_path(path),
            message: message.into(),
            hint,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.location)?;
        if !self.key.is_empty() {
            write!(f, ", key `{}`", self.key)?;
        }
        f.write_str("\n")?;
        if let ConfigLocation::File { excerpt, .. } = &self.location {
            f.write_str(excerpt)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhelp: {hint}")?;
        }
        Ok(())
    }
}

/// Sorts the findings in the file first, in its order.
pub(super) fn sorted_by_location(mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
    errors.sort_by_key(|error| {
        let place = error.location.line_and_column();
        place.unwrap_or((usize::MAX, 0))
    });
    errors
}

/// The name most similar to the wanted one, if it is likely a misspelling.
pub(super) fn closest_name<'a>(
    wanted: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(name, wanted), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// A path of keys in the form `roles.reader.rules[0].models`.
pub(super) fn dotted_path(path: &[String]) -> String {
    let mut shown = String::new();
    for step in path {
        if step.parse::<usize>().is_ok() {
            shown.extend(["[", step, "]"]);
        } else {
            let dot = if shown.is_empty() { "" } else { "." };
            shown.extend([dot, &printable_prefix(step)]);
        }
    }
    shown
}

/// The beginning of an untrusted text, without control characters.
pub(super) fn printable_prefix(text: &str) -> String {
    text.chars()
        .take(60)
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

/// All errors of a configuration; at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// These errors, sorted.
    pub(super) fn new(errors: Vec<ConfigError>) -> Self {
        Self(sorted_by_location(errors))
    }

    /// The errors in order.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "error: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
