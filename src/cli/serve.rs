//! `gatepost serve`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{Failure, check::warn};
use crate::config::{Sources, load};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost serve --config config/gatepost.toml
  gatepost serve --config config/gatepost.toml --listen 127.0.0.1:8080 --listen [::1]:8080
  ODOO_URL=https://odoo.example.com ODOO_DB=prod ODOO_API_KEY=… gatepost serve

It stops on SIGTERM after the calls under way, and reads its configuration again
on SIGHUP; a configuration that is wrong then changes nothing.")]
pub(super) struct Serve {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// An address to listen on instead of those configured; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Vec<SocketAddr>,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// When the configuration is wrong or a listener cannot be opened.
pub(super) fn run(serve: &Serve) -> Result<(), Failure> {
    let mut sources = Sources::new(serve.config.clone());
    sources.listen.clone_from(&serve.listen);
    let checked = load(&sources)?;
    warn(&checked.warnings);
    Err(Failure::Failed(
        "the configuration is right, and this build has no listener yet".to_owned(),
    ))
}
