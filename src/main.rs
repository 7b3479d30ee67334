//! The `gatepost` program.

use std::process::ExitCode;

/// glibc's allocator keeps the memory of a burst for as long as the process runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gatepost::cli::run(std::env::args_os())
}
