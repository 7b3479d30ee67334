//! The chain that links the lines of a journal. No I/O.
//!
//! A line is `{"seq":N,"prev":"…",` and the members of an entry, then
//! `,"hash":"…"}`. `prev` is the SHA-256 of the line before, all of it but its
//! line end; `hash` is over this line up to the comma before `"hash"`: SHA-256,
//! or HMAC-SHA-256 (RFC 2104) where there is a key. So a line that was changed
//! does not fit its own hash, and one that was taken out, put in or moved does
//! not fit its neighbours.

use std::fmt;

use gatepost_base::digest::hex;
use hmac::{Hmac, Mac as _, digest::KeyInit};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The largest line that is read, in bytes; those that are written stay far
/// below it, for everything in a record is bounded.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// What stands between the body of a line and its hash, and after it.
const HASH_MEMBER: &str = ",\"hash\":\"";
const HASH_END: &str = "\"}";

/// A key that only the gateway and its auditors have.
///
/// Without one, who can write the file can make the whole chain anew; with
/// one, they can only cut off its end.
#[derive(Clone)]
pub struct ChainKey(Hmac<Sha256>);

impl ChainKey {
    /// The least that a key may have, in bytes: as long as the hash.
    pub const MIN_BYTES: usize = 32;

    /// A key of these bytes; none when they are too few.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::MIN_BYTES {
            return None;
        }
        <Hmac<Sha256> as KeyInit>::new_from_slice(bytes)
            .ok()
            .map(Self)
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey(..)")
    }
}

impl PartialEq for ChainKey {
    fn eq(&self, other: &Self) -> bool {
        let mark = |key: &Self| key.0.clone().chain_update("same?").finalize();
        mark(self) == mark(other)
    }
}

/// The SHA-256 of a line, or what stands for it before the first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LineHash([u8; 32]);

impl LineHash {
    /// Before the first line.
    pub const ZERO: Self = Self([0; 32]);

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

/// The end of a chain, to which lines are added.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    key: Option<ChainKey>,
    position: ChainPosition,
}

/// How far a chain has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainPosition {
    /// The number of the last line; 0 before the first.
    pub seq: u64,
    /// What the next line names as `prev`.
    pub hash: LineHash,
}

/// Before the first line.
impl Default for ChainPosition {
    fn default() -> Self {
        Self {
            seq: 0,
            hash: LineHash::ZERO,
        }
    }
}

/// What is wrong with a line. `Display` is for the auditor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChainError {
    /// Its own hash is another.
    #[error("it does not fit its own hash: it was changed, or written with another key or none")]
    HashMismatch,
    /// It is no line of a journal.
    #[error("it is no line of a journal: it was changed or cut")]
    NotALine,
    /// It does not name the line before it.
    #[error(
        "it does not follow the line before it: lines were changed, taken out, put in or moved"
    )]
    PreviousHashMismatch,
    /// Its number is not the next.
    #[error("its number is {found} and not {wanted}: lines were taken out, put in or moved")]
    WrongSequence {
        /// The number it should have.
        wanted: u64,
        /// The number it has.
        found: u64,
    },
}

/// A line that fits its own hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainLink {
    /// Its number.
    pub seq: u64,
    /// The hash of the line before it.
    pub prev: LineHash,
    /// Its own, which the next line names.
    pub own_hash: LineHash,
}

impl Chain {
    /// A chain that goes on from here.
    pub(super) fn resume_at(position: ChainPosition, key: Option<ChainKey>) -> Self {
        Self { key, position }
    }

    pub(super) fn key(&self) -> Option<&ChainKey> {
        self.key.as_ref()
    }

    /// The next line, with its line end.
    ///
    /// # Errors
    /// When the entry is no JSON object with at least one member; nothing is
    /// added then.
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
    /// Takes the next line, without its line end.
    ///
    /// # Errors
    /// [`Broken`]; the place is what it was.
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
    /// Reads a line, without its line end, and compares it with its own hash.
    ///
    /// # Errors
    /// [`Broken::NoLine`], [`Broken::Hash`].
    pub fn parse(line: &[u8], key: Option<&ChainKey>) -> Result<Self, ChainError> {
        let (body, hash) = split_hash(line).ok_or(ChainError::NotALine)?;
        let (seq, prev) = parse_header(body).ok_or(ChainError::NotALine)?;
        // JSON's own bytes: whatever reads the line later must find what was hashed.
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

    /// The end of a chain whose last line this is.
    pub fn position(&self) -> ChainPosition {
        ChainPosition {
            seq: self.seq,
            hash: self.own_hash,
        }
    }
}

/// The body of a line and the hash behind it.
fn split_hash(line: &[u8]) -> Option<(&[u8], LineHash)> {
    let line = line.strip_suffix(HASH_END.as_bytes())?;
    let (rest, hash) = line.split_at_checked(line.len().checked_sub(64)?)?;
    Some((
        rest.strip_suffix(HASH_MEMBER.as_bytes())?,
        parse_hash(hash)?,
    ))
}

/// The number of a line and the hash of the one before.
fn parse_header(body: &[u8]) -> Option<(u64, LineHash)> {
    let rest = body.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    let rest = rest.strip_prefix(b",\"prev\":\"")?;
    let (prev, rest) = rest.split_at_checked(64)?;
    rest.strip_prefix(b"\",")?;
    let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((seq, parse_hash(prev)?))
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

fn parse_hash(text: &[u8]) -> Option<LineHash> {
    let mut bytes = [0; 32];
    let mut pairs = text.chunks_exact(2);
    for (byte, pair) in bytes.iter_mut().zip(&mut pairs) {
        let [high, low] = *<&[u8; 2]>::try_from(pair).ok()?;
        *byte = (hex_digit(high)? << 4) | hex_digit(low)?;
    }
    (text.len() == 64).then_some(LineHash(bytes))
}

/// Lower case only: there is one way to write a hash.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
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

    /// The number, from 0, of the first line that does not hold.
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
        // A chain made anew without the key is no chain to who has it.
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

            // Of the end nothing tells but whoever remembers how long it was.
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
