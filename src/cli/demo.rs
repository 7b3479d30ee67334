//! `gatepost demo`.

use std::net::SocketAddr;

use clap::Args;

use super::Failure;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost demo
  gatepost demo --listen 127.0.0.1:9000

It needs no configuration and reads none. Everybody on this machine gets in.")]
pub(super) struct Demo {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(super) listen: SocketAddr,
}

/// Runs the gateway in front of the sample company.
///
/// # Errors
/// When the listener cannot be opened, or is reached from outside: the demo
/// asks nobody for proof.
pub(super) fn run(demo: &Demo) -> Result<(), Failure> {
    if !demo.listen.ip().is_loopback() {
        return Err(Failure::Unfit(format!(
            "the demo lets everybody in, so it listens only on loopback, and `{}` is reached from outside",
            demo.listen
        )));
    }
    Err(Failure::Failed(
        "this build has no sample company yet".to_owned(),
    ))
}
