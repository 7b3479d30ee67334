//! Paths and kinds of files.

use std::{fs::Metadata, io, os::unix::fs::FileTypeExt as _, path::Path};

/// The folder of a file; `.` if the path does not name one.
pub fn parent_folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Refuses all but a regular file, before it is opened: opening a FIFO blocks, and a
/// device may never end.
///
/// # Errors
/// What it is instead.
pub fn require_regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let found = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "folder"
    } else if kind.is_fifo() {
        "pipe (FIFO)"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    };
    Err(io::Error::other(format!(
        "it is a {found}, not a regular file"
    )))
}
