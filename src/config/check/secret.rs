//! The Odoo API key of one instance.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::config::{excerpt::looks_like_secret, file::read_bounded};

/// Folders that an orchestrator fills for one container alone. The files in
/// them are readable by everybody in it, by default and without harm.
const SECRET_MOUNTS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Reads a file that holds a secret and nothing else, without the white space
/// around it.
///
/// # Errors
/// What is wrong with the file; nothing of what it holds.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path).map_err(|error| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if looks_like_secret(&name) {
            // Not repeated: people put the key itself here.
            "there is no such file; `api_key_file` is the path of a file that holds the key, `api_key` is the key itself".to_owned()
        } else {
            format!("{} cannot be read: {error}", path.display())
        }
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_binary| format!("{} is not a text file", path.display()))?;
    check_api_key(&text)
        .map(str::to_owned)
        .map_err(|message| format!("{} {message}", path.display()))
}

/// Reads a file that holds a text of somebody else's making: only the end of
/// its last line is no part of it.
///
/// # Errors
/// What is wrong with the file; nothing of what it holds.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let text = String::from_utf8(bytes)
        .map_err(|_binary| format!("{} is not a text file", path.display()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(text.to_owned())
}

/// A key that can stand in a header.
///
/// # Errors
/// What is wrong with it, without the key.
pub(super) fn check_api_key(text: &str) -> Result<&str, &'static str> {
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

/// Whether others than the owner may read the file.
pub(super) fn is_readable_by_others(path: &Path) -> bool {
    let mounted = SECRET_MOUNTS.iter().any(|folder| path.starts_with(folder));
    !mounted && fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o044 != 0)
}

/// Whether others than the owner may write the file.
pub(super) fn is_writable_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o022 != 0)
}
