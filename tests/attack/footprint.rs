//! What a process uses.

use std::fs;

use crate::process::{GatewayProcess, wait_until};

/// How much memory a scene may leave behind, in KiB. What an allocator retains and
/// caches hold is bounded by the configuration, not by the attack, and half of this
/// when it was measured.
const MAX_MEMORY_LEFT_KIB: u64 = 48 << 10;

/// How many connections may stay open: those that are reused towards Odoo, Redis and
/// providers.
const MAX_FILES_LEFT: usize = 24;

/// How many threads may stay: the runtime stops those that waited for a disk or a
/// name server ten seconds after they were needed.
const MAX_THREADS_LEFT: usize = 8;

/// What a process uses now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Footprint {
    pub(super) memory_kib: u64,
    pub(super) files: usize,
    pub(super) threads: usize,
}

impl Footprint {
    pub(super) fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.unwrap().split_whitespace().next().unwrap();
            text.parse().unwrap()
        };
        Self {
            memory_kib: number("VmRSS:"),
            files: fs::read_dir(format!("/proc/{process}/fd")).unwrap().count(),
            threads: usize::try_from(number("Threads:")).unwrap(),
        }
    }

    /// Waits until the process uses no more than it did, but for the allowances.
    pub(super) fn wait_until_back(self, gateway: &GatewayProcess) {
        let mut now = self;
        wait_until(&format!("what it used before, {self:?}"), || {
            // Memory is given back by threads that run.
            assert_eq!(gateway.get_admin("/livez").status, 200);
            now = Self::of(gateway.id());
            now.memory_kib <= self.memory_kib + MAX_MEMORY_LEFT_KIB
                && now.files <= self.files + MAX_FILES_LEFT
                && now.threads <= self.threads + MAX_THREADS_LEFT
        });
        println!("before {self:?}, after {now:?}");
    }
}

/// The CPU time of all threads of a process so far, in nanoseconds.
fn cpu_time(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_thread = |thread: fs::DirEntry| {
        // The thread may have ended.
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next().unwrap_or("0");
        first.parse::<u64>().unwrap()
    };
    threads.flatten().map(of_thread).sum()
}

/// The CPU time that the gateway spends while this runs, in nanoseconds.
pub(super) fn cpu_of(gateway: &GatewayProcess, work: impl FnOnce()) -> u64 {
    let before = cpu_time(gateway.id());
    work();
    cpu_time(gateway.id()).saturating_sub(before)
}
