//! The commands, and how the program reads and runs one.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

#[cfg(feature = "demo")]
use super::demo;
use super::{
    audit, check, demo_example, explain, healthcheck, key, reload, serve, stdio, terminal, version,
};
use crate::telemetry::logging;

/// How long writing the last log lines may take, so that a stalled reader of standard
/// error does not keep the process from ending.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The command line; a command is required.
#[derive(Debug, Parser)]
#[command(
    name = "gatepost",
    version,
    long_version = version::long(),
    about = "The gateway between AI assistants (MCP) and Odoo",
    after_help = format!("Examples:\n{}{AFTER_HELP}", demo_example("  gatepost demo\n")),
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::ServeArgs),
    /// Run the gateway in front of a built-in sample company; no Odoo is needed
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Serve one client on this machine over standard input and output
    Stdio(stdio::StdioArgs),
    /// Check a configuration
    Check(check::CheckArgs),
    /// Explain what a role may do, and which rules decide it
    Explain(explain::ExplainArgs),
    /// Create, list and revoke the API keys of clients
    Key(key::KeyArgs),
    /// Print or verify the audit journal
    Audit(audit::AuditArgs),
    /// Let a running gateway read its configuration again
    Reload(reload::ReloadArgs),
    /// Check whether a running gateway is alive; for a container's HEALTHCHECK
    Healthcheck(healthcheck::HealthcheckArgs),
}

/// The rest of the help, after the first example.
const AFTER_HELP: &str = "  gatepost check --config config/gatepost.toml
  gatepost key new --config config/gatepost.toml --role reader --name laptop
  gatepost serve --config config/gatepost.toml
  ODOO_URL=https://odoo.example.com ODOO_DB=prod ODOO_API_KEY=… gatepost serve

Environment:
  GATEPOST_CONFIG           the configuration file if no --config is given
  GATEPOST_SECTION__KEY     overrides a key, such as GATEPOST_SERVER__LISTEN
  ODOO_URL, ODOO_DB, ODOO_API_KEY or ODOO_API_KEY_FILE
                            one Odoo instance, without a file

Exit codes:
  0  success
  1  failure
  2  the command line is not valid
  3  the configuration is not valid
  4  a service that is needed does not answer (check --live, reload, healthcheck)
  5  policy would deny the call (explain)

`gatepost COMMAND --help` describes a command.";

/// Runs the program with these arguments, the program's own name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Cli::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(message) => {
            // Also `--help` and `--version`. A closed pipe (`| head`) is not a
            // failure.
            drop(message.print());
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(1));
        }
    };
    let result = match &arguments.command {
        Command::Serve(serve) => serve::run(serve),
        #[cfg(feature = "demo")]
        Command::Demo(demo) => demo::run(demo),
        Command::Stdio(stdio) => stdio::run(stdio),
        Command::Check(check) => check::run(check),
        Command::Explain(explain) => explain::run(explain),
        Command::Key(key) => key::run(key),
        Command::Audit(audit) => audit::run(audit),
        Command::Reload(reload) => reload::run(reload),
        Command::Healthcheck(healthcheck) => healthcheck::run(healthcheck),
    };
    logging::flush(LOG_FLUSH_TIMEOUT);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::print_stderr(&failure.to_string());
            failure.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        fn assert_has_example(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.contains("Example") && help.contains("gatepost ")),
                "{} has no example",
                command.get_name()
            );
            command.get_subcommands().for_each(assert_has_example);
        }
        assert_has_example(&Cli::command());
    }
}
