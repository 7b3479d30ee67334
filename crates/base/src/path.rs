//! Paths of files.

use std::path::Path;

/// The folder of a file; `.` if the path does not name one.
pub fn parent_folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
