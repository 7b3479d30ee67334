//! What is wrong with a configuration, and where.

use std::{fmt, path::PathBuf};

/// One thing that is wrong, or doubtful when it stands in
/// [`Checked::warnings`](super::Checked::warnings).
///
/// Its `Display` is for the administrator: place, source line, what is wrong
/// and what would be right. It never holds the value of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Where it was written.
    pub location: ConfigLocation,
    /// The key, such as `instances.production.url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// Where something in the configuration was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigLocation {
    /// On the command line, by the named option.
    CommandLine(&'static str),
    /// In the named environment variable.
    Environment(String),
    /// In the file, at a line and a column, both counted from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
        /// The line with carets under it, secrets covered.
        excerpt: String,
    },
    /// In the file as a whole, or in another one that it names.
    WholeFile(PathBuf),
    /// Nowhere: something is missing and there is no file.
    NoFile,
}

impl ConfigLocation {
    /// The line in the file, where there is one.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line),
            Self::CommandLine(_) | Self::Environment(_) | Self::WholeFile(_) | Self::NoFile => None,
        }
    }

    /// The column in the file, where there is one.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::File { column, .. } => Some(*column),
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

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.location)?;
        if !self.key.is_empty() {
            write!(f, ", key `{}`", self.key)?;
        }
        f.write_str("\n")?;
        if let ConfigLocation::File { excerpt: quote, .. } = &self.location {
            f.write_str(quote)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhelp: {hint}")?;
        }
        Ok(())
    }
}

/// Those in the file first and in its order.
pub(super) fn sorted_by_location(mut mistakes: Vec<ConfigError>) -> Vec<ConfigError> {
    mistakes.sort_by_key(|mistake| {
        let place = &mistake.location;
        (place.line().unwrap_or(usize::MAX), place.column())
    });
    mistakes
}

/// A path of keys as it is shown: `roles.reader.rules[0].models`.
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

/// A text of somebody else's as an answer may repeat it.
pub(super) fn printable_prefix(text: &str) -> String {
    text.chars()
        .take(60)
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

/// Everything that is wrong; at least one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The mistakes, in order.
    pub(super) fn new(mistakes: Vec<ConfigError>) -> Self {
        Self(sorted_by_location(mistakes))
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(mistake: ConfigError) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "error: {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
