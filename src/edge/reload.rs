//! Reading certificates and the configuration again, on SIGHUP and on request.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::error;

use super::certificate::Certificate;

/// What a reload does besides reading the certificates again: build a new gateway
/// and swap it in.
///
/// Returns warnings for the administrator, or why nothing was changed. A panic in it is
/// logged and changes nothing.
pub type ReloadHandler = Box<dyn Fn() -> Result<Vec<String>, String> + Send + Sync>;

/// What a process does beside serving requests.
pub struct ProcessTasks {
    /// What SIGHUP and `gatepost reload` do.
    pub reload: ReloadHandler,
    /// The configuration file that it reads, if there is one.
    pub config_file: Option<PathBuf>,
    /// Tasks that run until the process ends.
    pub background: Vec<BoxFuture<'static, ()>>,
}

/// Everything that can be read again while the edge runs.
#[derive(Default)]
pub(super) struct Reloads {
    pub(super) certificate: Option<Arc<Certificate>>,
    /// Without one, only the certificates are.
    pub(super) configuration: OnceLock<ReloadHandler>,
    /// The configuration file that is read.
    pub(super) config_file: OnceLock<PathBuf>,
}

impl Reloads {
    /// Reads everything again. Blocks.
    pub(super) fn run(&self) -> Result<Vec<String>, String> {
        let mut warnings = Vec::new();
        if let Some(certificate) = &self.certificate {
            if let Err(error) = certificate.reload() {
                warnings.push(format!("{error}; the current certificate stays"));
            }
            let problem = certificate.problem(Timestamp::now());
            warnings.extend(problem.map(|one| format!("{one}; {}", one.remedy())));
        }
        if let Some(reload) = self.configuration.get() {
            // A bug in it must not stop the listeners.
            let reloaded = catch_unwind(AssertUnwindSafe(reload)).unwrap_or_else(|_panic| {
                error!("Failed to reload the configuration because of a bug; the old one is still in use");
                Err("the gateway has a bug, which its log describes".to_owned())
            });
            warnings.extend(reloaded?);
        }
        Ok(warnings)
    }
}

impl std::fmt::Debug for ProcessTasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessTasks").finish_non_exhaustive()
    }
}
