//! Requests to the limiter: scopes, keys and costs.

use std::fmt;

use super::gcra::Rate;
use crate::redis::key_name;
use gatepost_base::digest::parts_digest;

/// What is limited. The order is that of locking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LimitScope {
    /// A client address.
    Address,
    /// A caller, across all instances and tools.
    Caller,
    /// An instance, across all callers.
    Instance,
    /// A caller's calls of one class of tools.
    Tool(ToolClass),
    /// The rows that a caller reads.
    Rows,
    /// The bytes that a caller reads.
    Bytes,
}

/// The class of a tool, for rate limits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ToolClass {
    /// Fetches or creates a file.
    File,
    /// Reads.
    Read,
    /// May write.
    Write,
}

impl LimitScope {
    /// The value in keys and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Bytes => "bytes",
            Self::Caller => "caller",
            Self::Instance => "instance",
            Self::Rows => "rows",
            Self::Tool(ToolClass::File) => "file",
            Self::Tool(ToolClass::Read) => "read",
            Self::Tool(ToolClass::Write) => "write",
        }
    }
}

/// The key of one counter: its scope and a digest of its owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LimitKey {
    pub(super) scope: LimitScope,
    digest: [u8; 16],
}

impl LimitKey {
    /// The key for these parts.
    pub(super) fn new(scope: LimitScope, parts: &[&[u8]]) -> Self {
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(parts_digest(parts)) {
            *to = from;
        }
        Self {
            scope,
            digest: short,
        }
    }

    /// The name of the key in Redis.
    pub(super) fn redis_name(&self, prefix: &str) -> String {
        key_name(prefix, self.scope.as_str(), &self.digest)
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redis_name(""))
    }
}

/// A request to one counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateRequest {
    pub(super) key: LimitKey,
    pub(super) rate: Rate,
    pub(super) cost: RateCost,
}

/// The cost of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RateCost {
    /// An amount that was used already; never rejected.
    AlreadyUsed(u64),
    /// Checks that one unit is left, without charging it.
    CheckOnly,
    /// One unit.
    One,
}

impl RateCost {
    /// The amount charged.
    pub(super) fn amount(self) -> u64 {
        match self {
            Self::AlreadyUsed(amount) => amount,
            Self::CheckOnly => 0,
            Self::One => 1,
        }
    }

    /// Whether it can be rejected.
    pub(super) fn can_be_rejected(self) -> bool {
        match self {
            Self::AlreadyUsed(_) => false,
            Self::CheckOnly | Self::One => true,
        }
    }
}

impl RateRequest {
    /// The same request against one replica's share of the rate.
    pub(super) fn replica_share(self, replicas: u32) -> Self {
        Self {
            rate: self.rate.replica_share(replicas),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LimitKey, LimitScope};

    #[test]
    fn keys_differ_by_parts_and_contain_no_names() {
        let key = |parts: &[&str]| {
            let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            LimitKey::new(LimitScope::Caller, &parts).redis_name("gatepost:")
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["mara", "x"]), key(&["mara", "x"]));
        insta::assert_snapshot!(key(&["mara@example.com"]), @"gatepost:caller:e2cebc2e8159802be29a168dd77d4bb0");
    }
}
