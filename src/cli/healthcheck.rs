//! `gatepost healthcheck`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use http::Uri;

use super::{
    CliError,
    admin_client::{AdminUrl, ReadLimits},
};
use crate::config::Sources;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost healthcheck
  gatepost healthcheck --url http://127.0.0.1:9090/readyz

Without --url it requests `/livez` from the configured admin listener.
Exit code 0: healthy. 1: unhealthy. 4: no answer.")]
pub(super) struct HealthcheckArgs {
    /// The URL to request
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<Uri>,
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Enough for a status line; the rest of the response is ignored.
const READ_LIMITS: ReadLimits = ReadLimits {
    bytes: 1024,
    timeout: Duration::from_secs(3),
};

pub(super) fn run(healthcheck: &HealthcheckArgs) -> Result<(), CliError> {
    let url = match &healthcheck.url {
        Some(url) => AdminUrl::parse(url)?,
        None => {
            let sources = Sources::new(healthcheck.config.clone());
            AdminUrl::configured(&sources, "/livez", "name a URL with `--url`")?
        }
    };
    match url.send("GET", READ_LIMITS)?.status {
        200..=299 => Ok(()),
        code => Err(CliError::Failed(format!("{url} answers {code}"))),
    }
}
