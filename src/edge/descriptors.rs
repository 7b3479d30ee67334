//! File descriptors: how many this process may have, and how many of them
//! connections of clients may take.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is of no use, and some systems have no limit at all.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Descriptors for the listeners, the admin listener's connections, the log, the
/// journal, the change store, Redis, providers, the collector and the runtime.
const BASE_RESERVE: u64 = 128;

/// How many descriptors this process may have.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorLimit(u64);

impl DescriptorLimit {
    /// Raises the soft limit to the hard one: the soft one is often 1,024, for
    /// programs that use `select`.
    ///
    /// # Errors
    /// If the system refuses; the limit is unchanged then.
    pub fn raise() -> io::Result<Self> {
        let limits = getrlimit(Resource::Nofile);
        let possible = Self::possible();
        if limits.current.is_some_and(|current| current < possible.0) {
            let raised = Rlimit {
                current: Some(possible.0),
                ..limits
            };
            setrlimit(Resource::Nofile, raised)?;
        }
        Ok(possible)
    }

    /// The limit now.
    pub fn current() -> Self {
        Self::capped(getrlimit(Resource::Nofile).current)
    }

    /// The limit after it was raised.
    pub fn possible() -> Self {
        let limits = getrlimit(Resource::Nofile);
        let current = Self::capped(limits.current);
        Self(Self::capped(limits.maximum).0.max(current.0))
    }

    /// The limit, as a number.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// How many connections of clients fit, of at most `wanted`. `calls` to Odoo and
    /// whatever else the gateway opens have their own descriptors, but never more
    /// than three quarters of all.
    pub fn connection_places(self, wanted: usize, calls: usize) -> usize {
        let calls = u64::try_from(calls).unwrap_or(u64::MAX);
        let reserve = BASE_RESERVE.saturating_add(calls);
        let left = self.0.saturating_sub(reserve).max(self.0 / 4).max(1);
        usize::try_from(left).unwrap_or(usize::MAX).min(wanted)
    }

    fn capped(limit: Option<u64>) -> Self {
        Self(limit.unwrap_or(MAX_DESCRIPTORS).min(MAX_DESCRIPTORS))
    }
}

#[cfg(test)]
mod tests {
    use super::DescriptorLimit;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        let places = |limit, wanted, calls| DescriptorLimit(limit).connection_places(wanted, calls);
        assert_eq!(places(20_000, 10_000, 8), 10_000);
        assert_eq!(places(1_024, 10_000, 16), 880);
        assert_eq!(places(256, 10_000, 8), 120);
        assert_eq!(places(128, 10_000, 8), 32);
        assert_eq!(places(20_000, 3, 8), 3);
    }
}
