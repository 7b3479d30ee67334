//! The configuration file: its values, and the location of each.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::{ConfigError, ConfigErrors, ConfigLocation, EntryPart},
    excerpt::{is_secret_key_name, looks_like_secret, redact_unparsed, render_excerpt},
    schema::SchemaNode,
};
use gatepost_base::path::require_regular;

/// The largest configuration file or secret file, in bytes; both are read whole.
const MAX_BYTES: u64 = 4 << 20;

/// The most syntax errors reported at once, because one often causes others.
const MAX_SYNTAX_ERRORS: usize = 5;

/// A file that is valid TOML. Its keys are not checked here.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    text: String,
    table: toml::Table,
    spans: BTreeMap<Vec<String>, EntrySpans>,
    redacted: Vec<Range<usize>>,
}

/// The location of one key and its value.
#[derive(Clone, Debug)]
struct EntrySpans {
    key: Range<usize>,
    value: Range<usize>,
}

impl EntrySpans {
    /// The range to redact: the value, unless it is a table, whose span is its
    /// header.
    fn redactable(&self) -> Option<Range<usize>> {
        let header = self.value.contains(&self.key.start);
        (!header).then(|| self.value.clone())
    }
}

impl ConfigFile {
    /// Reads and parses the file.
    ///
    /// # Errors
    /// Every syntax error, or that the file cannot be read.
    pub(super) fn read(path: &Path, schema: SchemaNode<'_>) -> Result<Self, ConfigErrors> {
        let fail = |message: String| {
            let location = ConfigLocation::WholeFile(path.to_owned());
            ConfigErrors::from(ConfigError::new(location, &[], message, None))
        };
        let mut bytes = read_bounded(path)
            .map_err(|error| fail(format!("the file cannot be read: {error}")))?;
        // The byte order mark that some Windows editors write.
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error
                .as_bytes()
                .iter()
                .take(error.utf8_error().valid_up_to());
            let line = valid.filter(|byte| **byte == b'\n').count() + 1;
            fail(format!("line {line} is not UTF-8"))
        })?;
        Self::parse(path, text, schema)
    }

    fn parse(path: &Path, text: String, schema: SchemaNode<'_>) -> Result<Self, ConfigErrors> {
        let (tree, syntax_errors) = DeTable::parse_recoverable(&text);
        let mut spans = BTreeMap::new();
        walk_table(tree.get_ref(), &mut Vec::new(), &mut spans);
        let syntax_errors = if syntax_errors.is_empty() {
            // Only this reports numbers that are out of range.
            match toml::from_str::<toml::Table>(&text) {
                Ok(table) => {
                    return Ok(Self {
                        path: path.to_owned(),
                        redacted: secret_ranges(&text, &spans),
                        text,
                        table,
                        spans,
                    });
                }
                Err(error) => vec![error],
            }
        } else {
            syntax_errors
        };
        let redacted = redact_unparsed(&text, &schema.non_secret_keys());
        let mut errors: Vec<ConfigError> = syntax_errors
            .iter()
            .map(|error| {
                let span = error.span().unwrap_or_default();
                let location = locate(path, &text, &span, &redacted);
                ConfigError::new(location, &[], error.message(), None)
            })
            .collect();
        errors.sort_by_key(|error| error.location.line());
        errors.dedup_by_key(|error| error.location.line());
        errors.truncate(MAX_SYNTAX_ERRORS);
        Err(ConfigErrors::new(errors))
    }

    /// The values of the file.
    pub(super) fn table(&self) -> &toml::Table {
        &self.table
    }

    /// The folder that relative paths in the file start from.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
    }

    /// The file as a whole.
    pub(super) fn whole_file(&self) -> ConfigLocation {
        ConfigLocation::WholeFile(self.path.clone())
    }

    /// Redacts the value of this key, and all below it, in every excerpt.
    pub(super) fn redact(&mut self, key: &[String]) {
        let below = self.spans.iter().filter(|(path, _)| path.starts_with(key));
        self.redacted
            .extend(below.filter_map(|(_, spans)| spans.redactable()));
    }

    /// The location of the key, if it is in the file.
    pub(super) fn location(&self, key: &[String], part: EntryPart) -> Option<ConfigLocation> {
        let spans = self.spans.get(key)?;
        let span = match part {
            EntryPart::Key => &spans.key,
            EntryPart::Value => &spans.value,
        };
        let mut redacted = self.redacted.clone();
        redacted.extend(trailing_comment(&self.text, span));
        Some(locate(&self.path, &self.text, span, &redacted))
    }
}

fn locate(
    path: &Path,
    text: &str,
    span: &Range<usize>,
    redacted: &[Range<usize>],
) -> ConfigLocation {
    let (line, column, excerpt) = render_excerpt(text, span, redacted);
    ConfigLocation::File {
        path: path.to_owned(),
        line,
        column,
        excerpt,
    }
}

/// Reads a file, up to 4 MiB.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    require_regular(&fs::metadata(path)?)?;
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(bytes)
}

/// The ranges that no excerpt may show: values of secret keys, URLs with a user,
/// and what may be a misplaced secret.
fn secret_ranges(text: &str, spans: &BTreeMap<Vec<String>, EntrySpans>) -> Vec<Range<usize>> {
    spans
        .iter()
        .filter(|(key, spans)| {
            key.last().is_some_and(|name| is_secret_key_name(name))
                || text.get(spans.value.clone()).is_some_and(|value| {
                    let with_user = value.contains("://") && value.contains('@');
                    with_user
                        || looks_like_secret(value.trim_matches(['"', '\'']))
                        || (is_in_credential(key) && !value.starts_with('{'))
                })
        })
        .filter_map(|(_, spans)| spans.redactable())
        .collect()
}

/// Whether the key is a credential, or anything in one but the path to its secret.
/// A text in the place of the credential's table is likely its API key.
fn is_in_credential(key: &[String]) -> bool {
    match key {
        [section, _, table, rest @ ..] if section == "instances" && table == "credentials" => {
            rest.last().is_some_and(|name| name != "api_key_file")
        }
        _ => false,
    }
}

/// What may be a comment at the end of the line. It is redacted because people
/// comment secrets out.
fn trailing_comment(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let rest = text.get(span.end..)?;
    let line = rest.split('\n').next()?;
    let begin = line.find('#')?;
    Some(span.end + begin..span.end + line.len())
}

fn walk_table(
    table: &DeTable<'_>,
    path: &mut Vec<String>,
    spans: &mut BTreeMap<Vec<String>, EntrySpans>,
) {
    for (key, value) in table {
        path.push(key.get_ref().clone().into_owned());
        let own = EntrySpans {
            key: key.span(),
            value: value.span(),
        };
        spans.insert(path.clone(), own);
        walk_value(value, path, spans);
        path.pop();
    }
}

fn walk_value(
    value: &Spanned<DeValue<'_>>,
    path: &mut Vec<String>,
    spans: &mut BTreeMap<Vec<String>, EntrySpans>,
) {
    match value.get_ref() {
        DeValue::Table(table) => walk_table(table, path, spans),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                let own = EntrySpans {
                    key: item.span(),
                    value: item.span(),
                };
                spans.insert(path.clone(), own);
                walk_value(item, path, spans);
                path.pop();
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}
