//! The resources that the gateway uses, second by second.

use std::fs;

/// The resources that the gateway uses.
pub(super) struct ResourceUsage {
    process: u32,
    /// Resident memory, in KiB.
    memory: Vec<f64>,
    files: Vec<usize>,
    threads: Vec<usize>,
}

/// How much memory may grow from the second third of the time to the last, in
/// KiB. A leak of half a kilobyte per request or of 300 KiB per reload would
/// exceed it. The allocator and the caches stay below: 1.5 MiB when this was
/// measured, with a reload and 300 requests per second.
const MAX_MEMORY_GROWTH_KIB: f64 = 6.0 * 1024.0;

impl ResourceUsage {
    pub(super) fn of(process: u32) -> Self {
        Self {
            process,
            memory: Vec::new(),
            files: Vec::new(),
            threads: Vec::new(),
        }
    }

    pub(super) fn sample(&mut self) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.unwrap().split_whitespace().next().unwrap();
            number.parse::<u32>().unwrap()
        };
        self.memory.push(f64::from(of("VmRSS:")));
        self.threads.push(of("Threads:") as usize);
        let files = fs::read_dir(format!("/proc/{}/fd", self.process));
        self.files.push(files.unwrap().count());
    }

    /// Asserts that memory, files and threads at the end are as many as after a
    /// third.
    pub(super) fn assert_flat(&self) {
        let third = self.memory.len() / 3;
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let middle = mean(&self.memory[third..2 * third]);
        let last = mean(&self.memory[2 * third..]);
        println!(
            "memory: {:.1} MiB at first, {:.1} in the second third, {:.1} in the last; at most {} files and {} threads",
            self.memory[0] / 1024.0,
            middle / 1024.0,
            last / 1024.0,
            self.files.iter().max().unwrap(),
            self.threads.iter().max().unwrap(),
        );
        assert!(
            last - middle < MAX_MEMORY_GROWTH_KIB,
            "memory grows: {:?}",
            self.memory
        );
        // One file for each client and each connection to Odoo. The allocator and the
        // runtime start some threads when they first need them.
        for (what, counts, tolerance) in [("files", &self.files, 10), ("threads", &self.threads, 0)]
        {
            let (early, late) = counts.split_at(2 * third);
            let most = early.iter().max().unwrap() + tolerance;
            assert!(
                late.iter().all(|count| *count <= most),
                "{what}: {counts:?}"
            );
        }
    }
}
