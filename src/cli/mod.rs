//! The command line: one file for each command.
//!
//! A command loads what it needs, calls the code that does the work, and reports
//! the result. Nothing else in the program prints or knows exit codes.

mod acting_roles;
mod admin_client;
mod audit;
mod check;
mod check_live;
mod check_startup;
mod client_setup;
mod command_line;
#[cfg(feature = "demo")]
mod demo;
mod error;
mod expiry;
mod explain;
mod healthcheck;
mod key;
mod names;
mod reload;
mod reloader;
mod serve;
mod stdio;
mod terminal;
mod version;

pub use command_line::run;

use error::CliError;

/// An example of the demo in a help text; none in a program without it.
const fn demo_example(line: &str) -> &str {
    if cfg!(feature = "demo") { line } else { "" }
}
