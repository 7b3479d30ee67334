//! What a decision is about.

use std::fmt;

use super::gcra::Allowance;
use crate::redis::{digest, key_name};

/// What an allowance is of. The order is that in which claims are looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dimension {
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

impl Dimension {
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
pub(super) struct Key {
    pub(super) dimension: Dimension,
    of: [u8; 16],
}

impl Key {
    /// The key of the one that these parts name together.
    pub(super) fn new(dimension: Dimension, parts: &[&[u8]]) -> Self {
        let mut of = [0; 16];
        for (to, from) in of.iter_mut().zip(digest(parts)) {
            *to = from;
        }
        Self { dimension, of }
    }

    /// The name of the key in Redis.
    pub(super) fn name(&self, prefix: &str) -> String {
        key_name(prefix, self.dimension.as_str(), &self.of)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name(""))
    }
}

/// What is wanted of one allowance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) key: Key,
    pub(super) allowance: Allowance,
    pub(super) take: Take,
}

/// How much is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Take {
    /// So many that were used already, whether they are there or not.
    Charge(u64),
    /// That one is there, without taking it.
    Look,
    /// One.
    One,
}

impl Take {
    /// How many are spent.
    pub(super) fn weight(self) -> u64 {
        match self {
            Self::Charge(weight) => weight,
            Self::Look => 0,
            Self::One => 1,
        }
    }

    /// Whether it can be refused.
    pub(super) fn asks(self) -> bool {
        match self {
            Self::Charge(_) => false,
            Self::Look | Self::One => true,
        }
    }
}

impl Claim {
    /// The same of one replica's part of the allowance.
    pub(super) fn share(self, replicas: u32) -> Self {
        Self {
            allowance: self.allowance.share(replicas),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dimension, Key};

    #[test]
    fn keys_tell_parts_apart_and_name_nobody() {
        let key = |parts: &[&str]| {
            let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            Key::new(Dimension::Caller, &parts).name("gatepost:")
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["mara", "x"]), key(&["mara", "x"]));
        insta::assert_snapshot!(key(&["mara@example.com"]), @"gatepost:caller:e2cebc2e8159802be29a168dd77d4bb0");
    }
}
