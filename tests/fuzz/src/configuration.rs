//! Configuration files and environment variables.
//!
//! The first section of an input is the file; the second has one variable in each
//! line, such as `GATEPOST_SERVER__LISTEN=127.0.0.1:0`.

use gatepost::config::{BuildError, Sources, load, load_admin, load_rules, load_schema_valid};
use tempfile::TempDir;

use crate::script::sections;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
}

pub(crate) fn run(data: &[u8]) {
    let mut sections = sections(data);
    let text = sections.next().unwrap_or_default();
    let variables = String::from_utf8_lossy(sections.next().unwrap_or_default()).into_owned();
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let file = FOLDER.with(|folder| folder.path().join("gatepost.toml"));
    std::fs::write(&file, text).unwrap();
    let sources = Sources::with_environment(Some(file), variables);
    let admin = load_admin(&sources);
    let rules = load_rules(&sources);
    let schema_valid = load_schema_valid(&sources);
    match load(&sources) {
        Ok(valid) => {
            // Every partial reading accepts what the whole one does.
            assert!(schema_valid.is_ok() && admin.is_ok() && rules.is_ok());
            let built = valid.build_for_diagnostics().map(drop);
            // What a valid configuration names may still be damaged.
            assert!(
                matches!(
                    built,
                    Ok(())
                        | Err(BuildError::RedisUntrusted(_)
                            | BuildError::Untrusted(..)
                            | BuildError::Instance(..))
                ),
                "{built:?}"
            );
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}
