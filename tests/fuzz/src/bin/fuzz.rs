//! The target that `FUZZ_TARGET` names, for libFuzzer. `scripts/fuzz` starts it.
#![no_main]

use std::sync::LazyLock;

use gatepost_fuzz::{Target, target_from_environment};

static TARGET: LazyLock<Target> = LazyLock::new(target_from_environment);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    (TARGET.run)(data);
});
