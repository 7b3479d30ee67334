//! Which build this is.

use std::{env::consts, sync::OnceLock};

/// Version, commit, profile and platform. The commit is known if
/// `GATEPOST_COMMIT` was set during the build, as for the container image.
pub(super) fn long() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        format!(
            "{}\ncommit: {}\nbuild: {profile}, {}-{}",
            env!("CARGO_PKG_VERSION"),
            option_env!("GATEPOST_COMMIT").unwrap_or("unknown"),
            consts::ARCH,
            consts::OS,
        )
    })
}
