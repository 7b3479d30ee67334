//! The file as it was written: its values, and where each of them stands.

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
    diagnostic::{ConfigError, ConfigErrors, ConfigLocation},
    excerpt::{is_secret_key_name, looks_like_secret, redact_unparsed, render_excerpt},
    schema::SchemaNode,
};

/// No configuration is longer, and no secret's file; both are read whole.
const MAX_BYTES: u64 = 4 << 20;

/// At most so many slips in the form of the file are told at once: one often
/// drags others along.
const MAX_SYNTAX_ERRORS: usize = 5;

/// A file that is TOML. What its keys mean is not looked at here.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    text: String,
    table: toml::Table,
    spans: BTreeMap<Vec<String>, EntrySpans>,
    redacted: Vec<Range<usize>>,
}

/// Where one key stands.
#[derive(Clone, Debug)]
struct EntrySpans {
    key: Range<usize>,
    value: Range<usize>,
}

impl EntrySpans {
    /// What to cover of the entry; nothing of a table's header, which is
    /// where the "value" of such a table stands.
    fn redactable(&self) -> Option<Range<usize>> {
        let header = self.value.contains(&self.key.start);
        (!header).then(|| self.value.clone())
    }
}

/// Which part of an entry is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EntryPart {
    /// Its name.
    Key,
    /// What stands behind the `=`; for a table its header.
    Value,
}

impl ConfigFile {
    /// Reads and parses the file.
    ///
    /// # Errors
    /// Every place where it is not TOML, or that it cannot be read.
    pub(super) fn read(path: &Path, form: SchemaNode<'_>) -> Result<Self, ConfigErrors> {
        let mut bytes = read_bounded(path).map_err(|error| {
            read_error(
                path,
                &format!("the file cannot be read: {error}"),
                ConfigLocation::WholeFile,
            )
        })?;
        // A byte order mark, as some editors for Windows write.
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error
                .as_bytes()
                .iter()
                .take(error.utf8_error().valid_up_to())
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            read_error(
                path,
                &format!("line {line} is not UTF-8"),
                ConfigLocation::WholeFile,
            )
        })?;
        Self::parse(path, text, form)
    }

    fn parse(path: &Path, text: String, form: SchemaNode<'_>) -> Result<Self, ConfigErrors> {
        let (tree, slips) = DeTable::parse_recoverable(&text);
        let mut spans = BTreeMap::new();
        walk_table(tree.get_ref(), &mut Vec::new(), &mut spans);
        let slips = if slips.is_empty() {
            // Numbers out of range come out only here.
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
                Err(slip) => vec![slip],
            }
        } else {
            slips
        };
        let covered = redact_unparsed(&text, &form.non_secret_keys());
        let mut mistakes: Vec<ConfigError> = slips
            .iter()
            .map(|slip| {
                let (line, column, quote) =
                    render_excerpt(&text, &slip.span().unwrap_or_default(), &covered);
                ConfigError {
                    location: ConfigLocation::File {
                        path: path.to_owned(),
                        line,
                        column,
                        excerpt: quote,
                    },
                    key: String::new(),
                    message: slip.message().to_owned(),
                    hint: None,
                }
            })
            .collect();
        mistakes.sort_by_key(|mistake| mistake.location.line());
        mistakes.dedup_by_key(|mistake| mistake.location.line());
        mistakes.truncate(MAX_SYNTAX_ERRORS);
        Err(ConfigErrors::new(mistakes))
    }

    /// What the file says.
    pub(super) fn table(&self) -> &toml::Table {
        &self.table
    }

    /// The folder that paths in the file start from.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
    }

    /// The file as a whole.
    pub(super) fn whole_file(&self) -> ConfigLocation {
        ConfigLocation::WholeFile(self.path.clone())
    }

    /// Never shows what stands at and below this key, whatever is wrong around it.
    pub(super) fn redact(&mut self, key: &[String]) {
        let below = self.spans.iter().filter(|(path, _)| path.starts_with(key));
        self.redacted
            .extend(below.filter_map(|(_, spans)| spans.redactable()));
    }

    /// Where the key stands, if it does.
    pub(super) fn location(&self, key: &[String], part: EntryPart) -> Option<ConfigLocation> {
        let spans = self.spans.get(key)?;
        let span = match part {
            EntryPart::Key => &spans.key,
            EntryPart::Value => &spans.value,
        };
        let mut covered = self.redacted.clone();
        covered.extend(trailing_comment(&self.text, span));
        let (line, column, quote) = render_excerpt(&self.text, span, &covered);
        Some(ConfigLocation::File {
            path: self.path.clone(),
            line,
            column,
            excerpt: quote,
        })
    }
}

/// The bytes of a file, refused when there are too many of them.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(bytes)
}

fn read_error(path: &Path, message: &str, place: fn(PathBuf) -> ConfigLocation) -> ConfigErrors {
    ConfigErrors::from(ConfigError {
        location: place(path.to_owned()),
        key: String::new(),
        message: message.to_owned(),
        hint: None,
    })
}

/// What must not be quoted: values of secret keys, URLs with a user in them,
/// and what may be a secret in a wrong place.
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

/// Whether the key is that of a credential, or anything in it but the path to
/// its secret: a text where the table of a credential should be is its key.
fn is_in_credential(key: &[String]) -> bool {
    match key {
        [section, _, table, rest @ ..] if section == "instances" && table == "credentials" => {
            rest.last().is_some_and(|name| name != "api_key_file")
        }
        _ => false,
    }
}

/// What may be a comment behind a place on its line: people switch a secret
/// off by making it one.
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
