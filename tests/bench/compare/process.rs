//! A child process, and what it uses according to `/proc`.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A running server; dropping it ends it.
pub(super) struct ServerProcess {
    child: Child,
}

impl ServerProcess {
    /// Starts it, with its standard error in the file `log` of its folder.
    pub(super) fn spawn(command: &mut Command, log: &std::path::Path) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    /// Whether it has not ended.
    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The CPU time of the process and its children so far, in user and kernel mode.
    pub(super) fn cpu_time(&self) -> Duration {
        let nanoseconds = |task: &std::path::Path| -> u64 {
            // A thread may end meanwhile.
            let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            text.split(' ')
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or(0)
        };
        let tasks = self
            .processes()
            .into_iter()
            .filter_map(|id| fs::read_dir(format!("/proc/{id}/task")).ok());
        Duration::from_nanos(
            tasks
                .flatten()
                .map(|task| nanoseconds(&task.unwrap().path()))
                .sum(),
        )
    }

    /// The largest resident memory of the process and its children so far, in KiB.
    pub(super) fn peak_memory_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    /// The resident memory of the process and its children, in KiB.
    pub(super) fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The sum of this line of `/proc/*/status`, in KiB.
    fn memory_kib(&self, label: &str) -> u64 {
        let of_process = |id: u32| -> u64 {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix(label));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        self.processes().into_iter().map(of_process).sum()
    }

    /// The process and its children.
    fn processes(&self) -> Vec<u32> {
        let parent = self.child.id();
        let is_child = |id: &u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // The name, in parentheses, may contain spaces.
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().nth(1) == Some(&parent.to_string())
        };
        let ids = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        ids.filter(is_child).chain([parent]).collect()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // SIGTERM first: nginx ends its workers then.
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(asked.unwrap().success());
        self.child.wait().unwrap();
    }
}
