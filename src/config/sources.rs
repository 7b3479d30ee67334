//! The sources of a configuration.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf};

/// The sources of a configuration: a file, environment variables and the command
/// line. A reload reads the same sources again.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Addresses from the command line, which replace `server.listen`.
    pub listen: Vec<SocketAddr>,
    /// The gateway's variables by name.
    environment: BTreeMap<String, String>,
    /// The gateway's variables that are not UTF-8.
    non_utf8: Vec<String>,
}

/// The variable that names the file if the command line does not.
const CONFIG_FILE_VARIABLE: &str = "GATEPOST_CONFIG";

/// The gateway's variables that are not keys: the file, and what and how to log.
const NON_KEY_VARIABLES: [&str; 3] = [CONFIG_FILE_VARIABLE, "GATEPOST_LOG", "GATEPOST_LOG_FORMAT"];

impl Sources {
    /// A file and the environment of this process. Without a file the one
    /// named by `GATEPOST_CONFIG`, or none.
    pub fn new(file: Option<PathBuf>) -> Self {
        let mut sources = Self::default();
        for (name, value) in std::env::vars_os() {
            // Other variables are not read because they may hold other programs' secrets.
            let Ok(name) = name.into_string() else {
                continue;
            };
            if !is_own_variable(&name) {
                continue;
            }
            match value.into_string() {
                Ok(value) => {
                    sources.environment.insert(name, value);
                }
                Err(_) => sources.non_utf8.push(name),
            }
        }
        sources.non_utf8.sort();
        sources.file = file.or_else(|| {
            let named = sources.environment.get(CONFIG_FILE_VARIABLE)?;
            (!named.is_empty()).then(|| PathBuf::from(named))
        });
        sources
    }

    /// A file and these variables instead of the process's.
    pub fn with_environment<'a>(
        file: Option<PathBuf>,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self {
            file,
            environment: environment
                .into_iter()
                .filter(|(name, _)| is_own_variable(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Self::default()
        }
    }

    /// The log filter (`GATEPOST_LOG`), such as `info,gatepost=debug`.
    pub fn log_filter(&self) -> Option<&str> {
        self.variable("GATEPOST_LOG")
    }

    /// The format of the log (`GATEPOST_LOG_FORMAT`), such as `json`.
    pub fn log_format(&self) -> Option<&str> {
        self.variable("GATEPOST_LOG_FORMAT")
    }

    /// The variable's value. An empty one counts as not set because Compose files
    /// pass unset variables as empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The variables that override keys, without the prefix.
    pub(super) fn overrides(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment
            .iter()
            .filter(|(name, _)| !NON_KEY_VARIABLES.contains(&name.as_str()))
            .filter_map(|(name, value)| {
                Some((
                    name.strip_prefix(super::environment::PREFIX)?,
                    value.as_str(),
                ))
            })
    }

    /// Variables that are not UTF-8.
    pub(super) fn non_utf8_variables(&self) -> &[String] {
        &self.non_utf8
    }
}

fn is_own_variable(name: &str) -> bool {
    name.starts_with(super::environment::PREFIX)
        || super::environment::ODOO_VARIABLES
            .iter()
            .any(|(odoo, _)| *odoo == name)
}

// Not derived: the variables may hold secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("listen", &self.listen)
            .field("environment", &self.environment.keys())
            .finish_non_exhaustive()
    }
}
