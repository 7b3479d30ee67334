//! Why a command did not do what was asked.

use std::process::ExitCode;

use crate::config::ConfigErrors;

/// A command that failed. Its text is for who typed it; each way to fail has
/// an exit code of its own. Code 2, a wrong command line, is clap's.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(#[from] ConfigErrors),
    /// It did not work.
    #[error("error: {0}")]
    Failed(String),
    /// Policy would refuse what was asked about.
    #[error("it would be refused")]
    Denied,
    /// The command cannot work with this configuration, which is right as such.
    #[error("error: {0}")]
    UnusableConfig(String),
    /// Something that is needed does not answer.
    #[error("error: {0}")]
    Unreachable(String),
}

impl CliError {
    /// The code for the shell, as `gatepost --help` lists them.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Configuration(_) | Self::UnusableConfig(_) => 3,
            Self::Unreachable(_) => 4,
            Self::Denied => 5,
        })
    }
}
