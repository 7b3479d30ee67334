//! Checks of the files that keys name: whether they can be read or written,
//! and by whom.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use super::ConfigChecker;
use gatepost_base::path::{parent_folder, require_regular};

/// Folders that an orchestrator fills for one container alone. Their files are
/// world-readable by default, which is harmless inside the container.
const SECRET_MOUNTS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

impl ConfigChecker<'_> {
    /// A PEM file of trusted certificates, if one is named.
    pub(super) fn check_ca_file(&mut self, path: &[String], file: Option<&Path>) {
        let Some(file) = file else {
            return;
        };
        if self.check_readable(path, file)
            && let Err(error) = gatepost_tls::client_config(Some(file))
        {
            let hint = "it must hold the certificate of an authority, or of the server itself, in PEM (`-----BEGIN CERTIFICATE-----`)";
            self.error(path, &error.to_string(), Some(hint));
        }
    }

    /// Whether a file can be read; reports what is wrong with it.
    pub(super) fn check_readable(&mut self, path: &[String], file: &Path) -> bool {
        let opened = fs::metadata(file)
            .and_then(|metadata| require_regular(&metadata))
            .and_then(|()| File::open(file));
        if let Err(error) = &opened {
            let message = format!("{} cannot be read: {error}", file.display());
            self.error(path, &message, None);
        }
        opened.is_ok()
    }

    /// A file that the gateway writes, and creates if it does not exist. `hint` says what
    /// to do if it cannot be written.
    pub(super) fn check_writable(&mut self, path: &[String], file: &Path, hint: Option<&str>) {
        let folder = parent_folder(file);
        if !folder.is_dir() {
            let message = format!("{} is not a folder", folder.display());
            self.error(path, &message, Some("create it; it must be writable"));
        } else if let Ok(metadata) = fs::metadata(file)
            && let Err(error) =
                require_regular(&metadata).and_then(|()| OpenOptions::new().append(true).open(file))
        {
            let message = format!("{} cannot be written: {error}", file.display());
            self.error(path, &message, hint);
        }
    }

    /// Warns if other users can read the file. `what` is, for example, `the private key`.
    pub(super) fn warn_if_readable(&mut self, path: &[String], file: &Path, what: &str) {
        let mounted = SECRET_MOUNTS.iter().any(|folder| file.starts_with(folder));
        if !mounted && has_mode(file, 0o044) {
            let message = format!("users other than the owner can read {what}");
            self.warning(path, &message, Some("chmod 600"));
        }
    }

    /// Warns if other users can write the file.
    pub(super) fn warn_if_writable(&mut self, path: &[String], file: &Path, what: &str) {
        if has_mode(file, 0o022) {
            let message = format!("users other than the owner can write {what}");
            self.warning(path, &message, Some("chmod 600"));
        }
    }

    /// Reports a file that the gateway writes and that another key names too.
    pub(super) fn check_own_file<const N: usize>(
        &mut self,
        path: &[String],
        file: &Path,
        others: [Option<&Path>; N],
    ) {
        let same = |other: &Path| {
            other == file
                || fs::canonicalize(other)
                    .is_ok_and(|other| fs::canonicalize(file).is_ok_and(|file| file == other))
        };
        if others.into_iter().flatten().any(same) {
            let message = "another key already uses this file";
            self.error(path, message, Some("name another file"));
        }
    }
}

/// Whether the file has any of these permission bits.
pub(super) fn has_mode(file: &Path, bits: u32) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & bits != 0)
}
