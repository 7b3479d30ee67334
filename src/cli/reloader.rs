//! Reading the configuration and the keys file again while the gateway runs.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::{
    config::{Config, Sources, ValidConfig, load},
    gateway::Gateway,
    telemetry::Metrics,
};
use gatepost_base::{RoleName, sync::lock};
use gatepost_identity::ApiKeyStore;

/// How often the keys file is checked for changes.
const KEYS_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How often the last uses of keys are written, if there are new ones.
const KEY_USES_INTERVAL: Duration = Duration::from_mins(1);

/// Reads the configuration and the keys file again, and swaps what the gateway uses.
pub(super) struct Reloader {
    sources: Sources,
    gateway: Arc<ArcSwap<Gateway>>,
    metrics: Metrics,
    /// The configuration at the start, whose sockets are still in use.
    started_with: Config,
    /// Held while anything is read again.
    keys_file: Mutex<WatchedKeysFile>,
}

/// The keys file of the current configuration.
struct WatchedKeysFile {
    path: Option<PathBuf>,
    /// What was read last; `None` before the first time.
    read: Option<FileVersion>,
    /// The configured roles.
    roles: BTreeSet<RoleName>,
}

/// What distinguishes two versions of a file. A replaced file has another inode.
#[derive(PartialEq, Eq)]
enum FileVersion {
    Missing,
    Present {
        inode: u64,
        modified: (i64, i64),
        size: u64,
    },
    Unreadable(io::ErrorKind),
}

impl Reloader {
    /// For a gateway that was built from these sources.
    pub(super) fn new(
        sources: Sources,
        started_with: &ValidConfig,
        gateway: Arc<ArcSwap<Gateway>>,
        metrics: Metrics,
    ) -> Self {
        let reloader = Self {
            sources,
            gateway,
            metrics,
            started_with: started_with.config.clone(),
            // Not read: it may have changed since the configuration was.
            keys_file: Mutex::new(WatchedKeysFile::of(&started_with.config)),
        };
        reloader.record(true);
        reloader
    }

    /// Reads the configuration, swaps the gateway, and returns warnings, one for all
    /// settings that need a restart. One with errors changes nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn reload(&self) -> Result<Vec<String>, String> {
        let mut keys_file = lock(&self.keys_file);
        let result = self.try_reload(&mut keys_file);
        drop(keys_file);
        self.record(result.is_ok());
        match &result {
            Ok(_) => info!("Reloaded the configuration"),
            Err(error) => error!(
                error,
                "Failed to reload the configuration; the old one is still in use"
            ),
        }
        result
    }

    fn try_reload(&self, keys_file: &mut WatchedKeysFile) -> Result<Vec<String>, String> {
        let checked = load(&self.sources).map_err(|errors| errors.to_string())?;
        let old = self.gateway.load_full();
        let new = checked.rebuild(&old).map_err(|error| error.to_string())?;
        let removed = &old.routes.addresses() - &new.routes.addresses();
        self.gateway.store(Arc::new(new));
        *keys_file = WatchedKeysFile::of(&checked.config);
        let mut warnings = Vec::new();
        // As at the start; an emptied keys file locks everyone out, for example.
        for warning in &checked.warnings {
            warn!(%warning, "Found a questionable setting while reloading the configuration");
            warnings.push(warning.to_string());
        }
        if !removed.is_empty() {
            let addresses = removed.into_iter().collect::<Vec<_>>().join(", ");
            warn!(
                addresses,
                "Removed addresses of instances; clients that use them get 404"
            );
            warnings.push(format!(
                "clients that use {addresses} get 404 now; `gatepost check` prints the URLs to hand out"
            ));
        }
        let changed = self
            .started_with
            .settings_that_need_restart(&checked.config);
        if !changed.is_empty() {
            let settings = changed.join(", ");
            warn!(
                settings,
                "Ignored changed settings that need a restart; the old values are still in use"
            );
            warnings.push(format!(
                "changed, but takes effect only after a restart: {settings}"
            ));
        }
        Ok(warnings)
    }

    /// Reads the keys file whenever it has changed. Never returns.
    pub(super) async fn watch_keys_file(self: Arc<Self>) {
        loop {
            sleep(KEYS_POLL_INTERVAL).await;
            let this = Arc::clone(&self);
            // Reading files blocks.
            let read = tokio::task::spawn_blocking(move || this.read_changed_keys());
            if let Err(error) = read.await {
                error!(%error, "Failed to read the keys file because of a bug");
            }
        }
    }

    /// Reads the keys file if it has changed. One that is broken, missing or empty
    /// changes nothing, because it would lock everyone out.
    fn read_changed_keys(&self) {
        let mut watched = lock(&self.keys_file);
        let Some(path) = watched.path.clone() else {
            return;
        };
        let version = FileVersion::of(&path);
        let first = watched.read.is_none();
        if watched.read.replace(version).as_ref() == watched.read.as_ref() {
            return;
        }
        let gateway = self.gateway.load();
        let current = gateway.authenticator.api_keys.keys();
        match ApiKeyStore::load(&path) {
            Ok(keys) if keys.has_same_keys(&current) => {
                if !first {
                    self.record(true);
                }
            }
            Ok(keys) if keys.is_empty() => {
                self.record(false);
                error!(
                    file = %path.display(),
                    "Found an empty keys file; the old keys are still in use. To lock everyone out, reload the configuration"
                );
            }
            Ok(keys) => {
                warn_about_unknown_roles(&keys, &watched);
                let active = keys
                    .iter()
                    .filter(|(_, key)| key.is_active(Timestamp::now()));
                let active = active.count();
                gateway.replace_api_keys(keys);
                self.record(true);
                info!(keys.active = active, "Loaded the changed keys file");
            }
            Err(error) if error.is_missing() && current.is_empty() => {}
            Err(error) => {
                self.record(false);
                error!(%error, "Failed to load the keys file; the old keys are still in use");
            }
        }
    }

    /// Writes the last uses of keys, at most once a minute. Never returns.
    pub(super) async fn write_key_uses(self: Arc<Self>) {
        let mut failed = false;
        loop {
            sleep(KEY_USES_INTERVAL).await;
            let this = Arc::clone(&self);
            let written = tokio::task::spawn_blocking(move || this.write_key_uses_once()).await;
            match written.map_err(io::Error::other).flatten() {
                Ok(()) => failed = false,
                // Logged once, not every minute.
                Err(error) if !failed => {
                    failed = true;
                    warn!(%error, "Failed to store the last uses of API keys; `gatepost key list` does not show them");
                }
                Err(_) => {}
            }
        }
    }

    /// Writes the last uses of keys, if there are new ones.
    ///
    /// # Errors
    /// If the file beside the keys file cannot be written.
    pub(super) fn write_key_uses_once(&self) -> io::Result<()> {
        let Some(path) = lock(&self.keys_file).path.clone() else {
            return Ok(());
        };
        let gateway = self.gateway.load();
        gateway.authenticator.api_keys.uses().store(&path)
    }

    /// Sets the metrics of the last time that anything was read again.
    fn record(&self, good: bool) {
        let metrics = &self.metrics;
        metrics
            .gatepost_config_last_reload_successful()
            .set(good.into());
        if good {
            metrics
                .gatepost_config_last_reload_success_timestamp_seconds()
                .set(Timestamp::now().as_second());
        }
    }
}

impl WatchedKeysFile {
    fn of(config: &Config) -> Self {
        Self {
            path: config.keys.file.clone(),
            read: None,
            roles: config.roles.keys().cloned().collect(),
        }
    }
}

impl FileVersion {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(found) => Self::Present {
                inode: found.ino(),
                modified: (found.mtime(), found.mtime_nsec()),
                size: found.size(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

fn warn_about_unknown_roles(keys: &ApiKeyStore, watched: &MutexGuard<'_, WatchedKeysFile>) {
    for (id, key) in keys.iter() {
        for role in key
            .roles
            .iter()
            .filter(|role| !watched.roles.contains(*role))
        {
            warn!(key.id = %id, role.name = %role, "Found an API key with a role that is not configured and grants nothing");
        }
    }
}
