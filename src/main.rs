//! The `gatepost` program.

use std::process::ExitCode;

/// glibc's allocator keeps the memory of a burst for as long as the process runs;
/// `.cargo/config.toml` says when this one returns it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    gatepost::cli::run(std::env::args_os())
}
