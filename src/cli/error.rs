//! Why a command failed.

use std::process::ExitCode;

use crate::config::{BuildError, ConfigErrors};

/// Why a command failed. Each variant has an exit code; code 2, for the command
/// line, is clap's.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The configuration has errors.
    #[error("{0}")]
    Configuration(#[from] ConfigErrors),
    /// The command failed.
    #[error("error: {0}")]
    Failed(String),
    /// Policy would deny the call in question.
    #[error("it would be denied")]
    Denied,
    /// The configuration is valid, but the command cannot work with it.
    #[error("error: {0}")]
    UnusableConfig(String),
    /// A service that is needed does not answer.
    #[error("error: {0}")]
    Unreachable(String),
}

impl CliError {
    /// The exit code, as `gatepost --help` lists them.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Configuration(_) | Self::UnusableConfig(_) => 3,
            Self::Unreachable(_) => 4,
            Self::Denied => 5,
        })
    }
}

impl From<BuildError> for CliError {
    fn from(error: BuildError) -> Self {
        Self::UnusableConfig(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::CliError;
    use crate::config::{Sources, load};

    /// The texts of each [`ConfigErrors`](crate::config::ConfigErrors) are pinned in
    /// `tests/it/config_messages.rs`.
    #[test]
    fn each_error_has_its_text_and_exit_code() {
        let reason = || "<reason>".to_owned();
        let configuration = load(&Sources::with_environment(None, [])).unwrap_err();
        let errors = [
            CliError::Configuration(configuration),
            CliError::Failed(reason()),
            CliError::Denied,
            CliError::UnusableConfig(reason()),
            CliError::Unreachable(reason()),
        ];
        let lines = errors.map(|error| format!("{:?} {error}", error.exit_code()));
        insta::assert_snapshot!(lines.join("\n"));
    }
}
