//! What a decision is about.

use std::fmt;

use super::gcra::Rate;
use crate::redis::key_name;
use gatepost_base::digest::parts_digest;

/// What an allowance is of. The order is that in which claims are looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LimitScope {
    /// A client address.
    Address,
    /// A caller, over all instances and tools.
    Caller,
    /// An instance, over all callers.
    Instance,
    /// A caller's calls of one kind of tool.
    Tool(ToolClass),
    /// The rows that a caller reads.
    Rows,
    /// The bytes that a caller reads.
    Bytes,
}

/// What a tool does, as far as allowances care.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ToolClass {
    /// It fetches or makes a file.
    File,
    /// It reads.
    Read,
    /// It may change something.
    Write,
}

impl LimitScope {
    /// The word for it in keys and metric labels.
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

/// Whose allowance it is: a dimension, and a hash of the one in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LimitKey {
    pub(super) scope: LimitScope,
    digest: [u8; 16],
}

impl LimitKey {
    /// The key of the one that these parts name together.
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

/// What is wanted of one allowance.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateRequest {
    pub(super) key: LimitKey,
    pub(super) rate: Rate,
    pub(super) cost: RateCost,
}

/// How much is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RateCost {
    /// So many that were used already, whether they are there or not.
    AlreadyUsed(u64),
    /// That one is there, without taking it.
    CheckOnly,
    /// One.
    One,
}

impl RateCost {
    /// How many are spent.
    pub(super) fn amount(self) -> u64 {
        match self {
            Self::AlreadyUsed(weight) => weight,
            Self::CheckOnly => 0,
            Self::One => 1,
        }
    }

    /// Whether it can be refused.
    pub(super) fn can_be_rejected(self) -> bool {
        match self {
            Self::AlreadyUsed(_) => false,
            Self::CheckOnly | Self::One => true,
        }
    }
}

impl RateRequest {
    /// The same of one replica's part of the allowance.
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
