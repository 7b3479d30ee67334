//! Fuzz targets: each reads one input and asserts what must hold for all.
//!
//! The same functions serve twice. `cargo test -p gatepost-fuzz` replays the seeds
//! in `corpus/` and a fixed number of mutations of them, the same ones each time.
//! `scripts/fuzz` builds `src/bin/fuzz.rs`, in which libFuzzer looks for inputs that
//! reach new code. An input that failed stays in the corpus of its target.
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a target fails like a test"
)]

mod configuration;
mod domain;
mod odoo_answer;
mod peer;
mod policy;
mod request;
mod script;
mod stack;
#[cfg(test)]
mod tests;
mod token;
mod values;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Runs one input; panics if a property does not hold.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "configuration",
        run: configuration::run,
    },
    Target {
        name: "domain",
        run: domain::run,
    },
    Target {
        name: "odoo_answer",
        run: odoo_answer::run,
    },
    Target {
        name: "policy",
        run: policy::run,
    },
    Target {
        name: "request",
        run: request::run,
    },
    Target {
        name: "token",
        run: token::run,
    },
    Target {
        name: "values",
        run: values::run,
    },
];

/// The target that the variable `FUZZ_TARGET` names.
pub fn target_from_environment() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    TARGETS
        .into_iter()
        .find(|target| target.name == name)
        .unwrap_or_else(|| panic!("FUZZ_TARGET names no target: `{name}`"))
}
