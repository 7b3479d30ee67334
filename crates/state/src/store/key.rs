//! The keys of entries.

use std::fmt;

use crate::redis::key_name;
use gatepost_base::digest::parts_digest;

/// The key of an entry: a kind and a digest, never text from a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey {
    kind: StoreKeyKind,
    digest: [u8; 32],
    owner: Option<StoreOwner>,
}

/// The caller on whose share an entry counts: the beginning of a digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct StoreOwner(pub(super) [u8; Self::BYTES]);

gatepost_base::words! {
    /// The kind of an entry.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub enum StoreKeyKind {
        /// An approval that is pending or was used.
        Approval = "approval",
        /// A user's answer to an elicitation, passed from the replica that received it to
        /// the one that waits for it.
        ElicitationAnswer = "answer",
        /// A call and its result, by idempotency key.
        Idempotency = "once",
        /// A random secret shared by all replicas.
        Secret = "secret",
        /// The values of records before a change.
        Undo = "undo",
    }

    /// The name in Redis keys.
    pub fn as_str(self);
}

impl StoreKey {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub(super) const BYTES: usize = 33;

    /// The key for these parts, such as instance, caller and idempotency key.
    pub fn new(kind: StoreKeyKind, parts: &[&[u8]]) -> Self {
        Self {
            kind,
            digest: parts_digest(parts),
            owner: None,
        }
    }

    /// The same key; its entry counts on the share of this caller. All uses of a key
    /// name the same caller.
    #[must_use]
    pub fn owned_by(self, caller: &[&str]) -> Self {
        let parts: Vec<&[u8]> = caller.iter().map(|part| part.as_bytes()).collect();
        let owner = parts_digest(&parts).first_chunk().copied().map(StoreOwner);
        Self { owner, ..self }
    }

    /// The key of a call with an idempotency key.
    pub fn idempotency(parts: &[&str]) -> Self {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        Self::new(StoreKeyKind::Idempotency, &parts)
    }

    /// The key of the values before a change.
    pub fn undo(parts: &[&str]) -> Self {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        Self::new(StoreKeyKind::Undo, &parts)
    }

    /// The key of an approval with this number.
    pub fn approval(number: &[u8]) -> Self {
        Self::new(StoreKeyKind::Approval, &[number])
    }

    /// The kind of the entry.
    pub fn kind(&self) -> StoreKeyKind {
        self.kind
    }

    /// The caller on whose share the entry counts.
    pub(super) fn owner(&self) -> Option<StoreOwner> {
        self.owner
    }

    /// The name of the key in Redis.
    pub(super) fn redis_name(&self, prefix: &str) -> String {
        key_name(prefix, self.kind.as_str(), &self.digest)
    }

    /// The key as bytes, for the file.
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let parts = std::iter::once(self.kind.file_tag()).chain(self.digest);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        bytes
    }
}

impl StoreOwner {
    /// The length of the digest.
    pub(super) const BYTES: usize = 8;
}

impl StoreKeyKind {
    /// Whether it may be evicted before it expires when the store is full. Without
    /// an undo entry only the undo is lost; the others prevent repeated changes.
    pub(super) fn is_evictable(self) -> bool {
        match self {
            Self::Approval | Self::ElicitationAnswer | Self::Idempotency | Self::Secret => false,
            Self::Undo => true,
        }
    }

    /// The tag in files. Never changes, because files outlive versions.
    fn file_tag(self) -> u8 {
        match self {
            Self::Approval => b'a',
            Self::ElicitationAnswer => b'w',
            Self::Idempotency => b'o',
            Self::Secret => b's',
            Self::Undo => b'u',
        }
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redis_name(""))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{StoreKey, StoreKeyKind};

    const KINDS: [StoreKeyKind; 5] = [
        StoreKeyKind::ElicitationAnswer,
        StoreKeyKind::Approval,
        StoreKeyKind::Idempotency,
        StoreKeyKind::Secret,
        StoreKeyKind::Undo,
    ];

    #[test]
    fn keys_differ_by_kind_and_parts_and_hide_client_text() {
        let parts: [&[&[u8]]; 3] = [&[b"hunter2"], &[b"hunter", b"2"], &[b"hunter2", b""]];
        let all = KINDS
            .iter()
            .flat_map(|kind| parts.map(|parts| StoreKey::new(*kind, parts)));
        let all: Vec<StoreKey> = all.collect();
        let names: BTreeSet<String> = all.iter().map(|key| key.redis_name("gatepost:")).collect();
        let bytes: BTreeSet<[u8; 33]> = all.iter().map(|key| key.to_bytes()).collect();
        assert_eq!((names.len(), bytes.len()), (15, 15));
        assert!(!format!("{all:?}").contains("hunter"));
        insta::assert_snapshot!(all[0].redis_name("gatepost:"), @"gatepost:answer:18a6e7df67325c13108d1078df7dec457e61f5642854d5116b62523ab09f2543");
    }
}
