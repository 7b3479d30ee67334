//! The hash chain of a journal. No I/O.
//!
//! A line is `{"seq":N,"prev":"…",` and the members of an entry, then
//! `,"hash":"…"}`. `prev` is the SHA-256 of the line before, all of it but its
//! line end; `hash` is over this line up to the comma before `"hash"`: SHA-256,
//! or HMAC-SHA-256 (RFC 2104) if there is a key. So a changed line does not
//! match its own hash, and a removed, inserted or moved one does not match its
//! neighbours.

use std::fmt;

use gatepost_base::{
    digest::{hex, parse_hex},
    opaque_debug,
};
use hmac::{Hmac, Mac as _, digest::KeyInit};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The longest line that is read, in bytes. Written lines are far shorter, because
/// everything in a record is bounded.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// The text between the body of a line and its hash, and after the hash.
const HASH_MEMBER: &str = ",\"hash\":\"";
const HASH_END: &str = "\"}";

/// A key that only the gateway and its auditors have.
///
/// Without a key, anyone who can write the file can rebuild the whole chain; with one,
/// they can only truncate it.
#[derive(Clone)]
pub struct ChainKey(Hmac<Sha256>);

impl ChainKey {
    /// The minimum length of a key, in bytes: that of the hash.
    pub const MIN_BYTES: usize = 32;

    /// A key of these bytes; `None` if they are too few.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::MIN_BYTES {
            return None;
        }
        <Hmac<Sha256> as KeyInit>::new_from_slice(bytes)
            .ok()
            .map(Self)
    }
}

opaque_debug!(ChainKey);

impl PartialEq for ChainKey {
    fn eq(&self, other: &Self) -> bool {
        let mark = |key: &Self| key.0.clone().chain_update("same?").finalize();
        mark(self) == mark(other)
    }
}

/// The SHA-256 of a line, or zeros before the first.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct LineHash([u8; 32]);

impl LineHash {
    /// The hash of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineHash({self})")
    }
}

/// A chain that lines are appended to.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    key: Option<ChainKey>,
    position: ChainPosition,
}

/// A position in a chain; by default the one before the first line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainPosition {
    /// The number of the last line; 0 before the first.
    pub seq: u64,
    /// The `prev` of the next line.
    pub hash: LineHash,
}

/// A line that breaks the chain. `Display` is for the auditor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChainError {
    /// It does not match its own hash.
    #[error(
        "it does not match its own hash: it was changed, or written with another key, or without one"
    )]
    HashMismatch,
    /// It is not a line of a journal.
    #[error("it is not a line of a journal: it was changed or truncated")]
    NotALine,
    /// It does not match the line before it.
    #[error("it does not match the line before it: lines were changed, removed, inserted or moved")]
    PreviousHashMismatch,
    /// Its number is not the next one.
    #[error("its number is {found} instead of {wanted}: lines were removed, inserted or moved")]
    WrongSequence {
        /// The number it should have.
        wanted: u64,
        /// The number it has.
        found: u64,
    },
}

/// A line that matches its own hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainLink {
    /// Its number.
    pub seq: u64,
    /// The hash of the line before it.
    pub prev: LineHash,
    /// Its own hash, the `prev` of the next line.
    pub own_hash: LineHash,
}

impl Chain {
    /// A chain that continues from this position.
    pub(super) fn resume_at(position: ChainPosition, key: Option<ChainKey>) -> Self {
        Self { key, position }
    }

    pub(super) fn key(&self) -> Option<&ChainKey> {
        self.key.as_ref()
    }

    /// Appends an entry and returns its line, with the line end.
    ///
    /// # Errors
    /// When the entry is not a JSON object with at least one member; nothing is
    /// appended.
    pub(super) fn append(&mut self, entry: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
        let seq = self.position.seq + 1;
        let mut line = format!("{{\"seq\":{seq},\"prev\":\"{}\",", self.position.hash).into_bytes();
        let members = serde_json::to_vec(entry)?;
        let members = members
            .strip_prefix(b"{")
            .and_then(|rest| rest.strip_suffix(b"}"))
            .filter(|members| !members.is_empty())
            .ok_or_else(|| serde::ser::Error::custom("an entry is an object with members"))?;
        line.extend_from_slice(members);
        let hash = own_hash(&line, self.key.as_ref());
        line.extend_from_slice(format!("{HASH_MEMBER}{hash}{HASH_END}").as_bytes());
        self.position = ChainPosition {
            seq,
            hash: LineHash::of(&line),
        };
        line.push(b'\n');
        Ok(line)
    }
}

impl ChainPosition {
    /// Advances by the next line, given without its line end.
    ///
    /// # Errors
    /// [`ChainError`]; the position is unchanged.
    pub fn advance(
        &mut self,
        line: &[u8],
        key: Option<&ChainKey>,
    ) -> Result<ChainLink, ChainError> {
        let link = ChainLink::parse(line, key)?;
        let wanted = self.seq + 1;
        if link.seq != wanted {
            return Err(ChainError::WrongSequence {
                wanted,
                found: link.seq,
            });
        }
        if link.prev != self.hash {
            return Err(ChainError::PreviousHashMismatch);
        }
        *self = link.position();
        Ok(link)
    }
}

impl ChainLink {
    /// Parses a line, given without its line end, and verifies its hash.
    ///
    /// # Errors
    /// [`ChainError::NotALine`], [`ChainError::HashMismatch`].
    pub fn parse(line: &[u8], key: Option<&ChainKey>) -> Result<Self, ChainError> {
        let (body, hash) = split_hash(line).ok_or(ChainError::NotALine)?;
        let (seq, prev) = parse_header(body).ok_or(ChainError::NotALine)?;
        // It must be valid JSON, so that every reader finds what was hashed.
        if serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err() {
            return Err(ChainError::NotALine);
        }
        if own_hash(body, key) != hash {
            return Err(ChainError::HashMismatch);
        }
        Ok(Self {
            seq,
            prev,
            own_hash: LineHash::of(line),
        })
    }

    /// The position after this line.
    pub fn position(&self) -> ChainPosition {
        ChainPosition {
            seq: self.seq,
            hash: self.own_hash,
        }
    }
}

/// Splits a line into its body and its hash.
fn split_hash(line: &[u8]) -> Option<(&[u8], LineHash)> {
    let line = line.strip_suffix(HASH_END.as_bytes())?;
    let (rest, hash) = line.split_at_checked(line.len().checked_sub(64)?)?;
    Some((
        rest.strip_suffix(HASH_MEMBER.as_bytes())?,
        LineHash(parse_hex(hash)?),
    ))
}

/// The number of a line and the hash of the line before.
fn parse_header(body: &[u8]) -> Option<(u64, LineHash)> {
    let rest = body.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    let rest = rest.strip_prefix(b",\"prev\":\"")?;
    let (prev, rest) = rest.split_at_checked(64)?;
    rest.strip_prefix(b"\",")?;
    let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((seq, LineHash(parse_hex(prev)?)))
}

fn own_hash(body: &[u8], key: Option<&ChainKey>) -> LineHash {
    match key {
        Some(ChainKey(key)) => LineHash(
            key.clone()
                .chain_update(body)
                .finalize()
                .into_bytes()
                .into(),
        ),
        None => LineHash::of(body),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Chain, ChainError, ChainKey, ChainPosition};

    fn key() -> ChainKey {
        ChainKey::new(&[7; 32]).unwrap()
    }

    fn lines(count: usize, key: Option<ChainKey>) -> Vec<Vec<u8>> {
        let mut chain = Chain::resume_at(ChainPosition::default(), key);
        (0..count)
            .map(|number| {
                let entry = json!({"kind": "call", "text": "a \"b\"\n,\"hash\":\"", "n": number});
                let mut line = chain.append(&entry).unwrap();
                line.pop();
                line
            })
            .collect()
    }

    /// The index of the first invalid line.
    fn first_invalid(lines: &[Vec<u8>], key: Option<&ChainKey>) -> Option<usize> {
        let mut place = ChainPosition::default();
        lines
            .iter()
            .position(|line| place.advance(line, key).is_err())
    }

    #[test]
    fn line_is_json_with_seq_first_and_hash_last() {
        let line = lines(1, None).remove(0);
        let value: Value = serde_json::from_slice(&line).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["seq", "prev", "kind", "text", "n", "hash"]);
        assert_eq!(value["prev"], json!("0".repeat(64)));
    }

    #[test]
    fn entries_that_are_not_objects_are_rejected() {
        let mut chain = Chain::resume_at(ChainPosition::default(), None);
        for entry in [json!(1), json!([]), json!({}), json!(null)] {
            assert!(chain.append(&entry).is_err(), "{entry}");
        }
        assert_eq!(chain.position, ChainPosition::default());
    }

    #[test]
    fn chain_verifies_only_with_its_own_key() {
        let keyed = lines(3, Some(key()));
        let other = ChainKey::new(&[8; 32]).unwrap();
        assert_eq!(first_invalid(&keyed, Some(&key())), None);
        assert_eq!(first_invalid(&keyed, Some(&other)), Some(0));
        assert_eq!(first_invalid(&keyed, None), Some(0));
        // A chain rebuilt without the key does not verify with it.
        assert_eq!(first_invalid(&lines(3, None), Some(&key())), Some(0));
        assert!(ChainKey::new(&[7; 31]).is_none());
    }

    #[test]
    fn sequence_and_hash_errors_are_distinguished() {
        let mut place = ChainPosition::default();
        let lines = lines(3, None);
        place.advance(&lines[0], None).unwrap();
        let skipped = place.advance(&lines[2], None).unwrap_err();
        assert_eq!(
            skipped,
            ChainError::WrongSequence {
                wanted: 2,
                found: 3
            }
        );
        let mut other = Chain::resume_at(ChainPosition::default(), None);
        other.append(&json!({"a": 1})).unwrap();
        let mut foreign = other.append(&json!({"a": 2})).unwrap();
        foreign.pop();
        assert_eq!(
            place.advance(&foreign, None),
            Err(ChainError::PreviousHashMismatch)
        );
    }

    proptest! {
        #[test]
        fn every_change_is_detected_at_the_first_affected_line(
            count in 2_usize..7,
            which in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..=255,
            keyed in any::<bool>(),
        ) {
            let key = keyed.then(key);
            let key = key.as_ref();
            let whole = lines(count, key.cloned());
            prop_assert_eq!(first_invalid(&whole, key), None);
            let which = which.index(count);

            let mut flipped = whole.clone();
            let byte = at.index(flipped[which].len());
            flipped[which][byte] ^= flip;
            prop_assert_eq!(first_invalid(&flipped, key), Some(which));

            let mut cut = whole.clone();
            cut[which].truncate(byte);
            prop_assert_eq!(first_invalid(&cut, key), Some(which));

            // A missing end is not detected by the chain itself.
            let mut removed = whole.clone();
            removed.remove(which);
            prop_assert_eq!(first_invalid(&removed, key), (which + 1 < count).then_some(which));

            let mut twice = whole.clone();
            twice.insert(which, whole[other.index(count)].clone());
            let first = if other.index(count) == which { which + 1 } else { which };
            prop_assert_eq!(first_invalid(&twice, key), Some(first));

            let other = other.index(count);
            if other != which {
                let mut swapped = whole;
                swapped.swap(which, other);
                prop_assert_eq!(first_invalid(&swapped, key), Some(which.min(other)));
            }
        }
    }
}
