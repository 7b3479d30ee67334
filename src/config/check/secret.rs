//! Secrets that a key holds, or that are in a file that a key names.

use std::path::Path;

use super::ConfigChecker;
use crate::config::{
    diagnostic::{ConfigLocation, EntryPart},
    excerpt::looks_like_secret,
    file::read_bounded,
};

/// A secret in two keys that exclude each other, such as `password` and `password_file`.
pub(super) struct SecretKeys<'a> {
    /// The path of the table that holds them.
    pub(super) table: &'a [String],
    /// The name of the first one.
    pub(super) key: &'static str,
    pub(super) inline: Option<&'a str>,
    pub(super) file: Option<&'a Path>,
    /// How the secret is cut out of the text, and what is wrong with it.
    pub(super) parse: fn(&str) -> Result<&str, &'static str>,
}

impl SecretKeys<'_> {
    /// The path of the key for the secret itself.
    pub(super) fn path(&self) -> Vec<String> {
        [self.table, path![self.key]].concat()
    }

    /// Whether neither key is set.
    pub(super) fn is_missing(&self) -> bool {
        self.inline.is_none() && self.file.is_none()
    }
}

impl ConfigChecker<'_> {
    /// Reads a secret; reports what is wrong with it.
    pub(super) fn secret(&mut self, keys: &SecretKeys<'_>) -> Option<String> {
        let (key, here) = (keys.key, keys.path());
        let in_file = [keys.table, path![format!("{key}_file")]].concat();
        let (path, message, hint) = match (keys.inline, keys.file) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                let message = format!("`{key}` and `{key}_file` are both set");
                (
                    in_file,
                    message,
                    Some("keep one of them, preferably the file"),
                )
            }
            (Some(text), None) => match (keys.parse)(text) {
                Ok(secret) => {
                    let what = "this file, which holds secrets";
                    let mut warnings = self.findings.warnings.iter();
                    // Once: there is only one such file.
                    if !warnings.any(|warning| warning.message.ends_with(what))
                        && let ConfigLocation::File { path: file, .. } =
                            self.layers.location(&here, EntryPart::Value)
                    {
                        self.warn_if_readable(&here, &file, what);
                    }
                    return Some(secret.to_owned());
                }
                Err(wrong) => (here, format!("`{key}` {wrong}"), None),
            },
            (None, Some(file)) => {
                self.warn_if_readable(&in_file, file, "the file with this secret");
                match read(file, keys.parse) {
                    Ok(secret) => return Some(secret),
                    Err(message) => (in_file, message, None),
                }
            }
        };
        self.error(&path, &message, hint);
        None
    }
}

/// Reads a file that holds one secret.
///
/// # Errors
/// A description of the problem, without the file's content.
pub(super) fn read(
    path: &Path,
    parse: fn(&str) -> Result<&str, &'static str>,
) -> Result<String, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bytes = read_bounded(path).map_err(|error| {
        if looks_like_secret(&name) {
            // Not repeated: people put the secret itself here.
            "there is no such file; this key takes the path of a file that holds the secret, not the secret itself".to_owned()
        } else {
            format!("{} cannot be read: {error}", path.display())
        }
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_binary| format!("{} is not a text file", path.display()))?;
    parse(&text)
        .map(str::to_owned)
        .map_err(|message| format!("{} {message}", path.display()))
}

/// Any text; only the line break at its end is not part of it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn text(text: &str) -> Result<&str, &'static str> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err("is empty");
    }
    Ok(text)
}

/// A key that can be sent in a header, without the white space around it.
///
/// # Errors
/// What is wrong with it, without the key.
pub(super) fn api_key(text: &str) -> Result<&str, &'static str> {
    let key = text.trim();
    if key.is_empty() {
        return Err("is empty; it must hold the API key");
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "must hold one API key and nothing else: one word of ASCII letters, digits and signs",
        );
    }
    Ok(key)
}
