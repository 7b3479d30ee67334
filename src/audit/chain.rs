//! The chain that links the lines of a journal. No I/O.
//!
//! A line is `{"seq":N,"prev":"…",` and the members of an entry, then
//! `,"hash":"…"}`. `prev` is the SHA-256 of the line before, all of it but its
//! line end; `hash` is over this line up to the comma before `"hash"`: SHA-256,
//! or HMAC-SHA-256 (RFC 2104) where there is a key. So a line that was changed
//! does not fit its own hash, and one that was taken out, put in or moved does
//! not fit its neighbours.

use std::fmt;

use hmac::{Hmac, Mac as _, digest::KeyInit};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The largest line that is read, in bytes; those that are written stay far
/// below it, for everything in a record is bounded.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// What stands between the body of a line and its hash, and after it.
const HASH: &str = ",\"hash\":\"";
const END: &str = "\"}";

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
    pub const NOTHING: Self = Self([0; 32]);

    /// The hash of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineHash({self})")
    }
}

fn hex(bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The end of a chain, to which lines are added.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    key: Option<ChainKey>,
    at: Place,
}

/// How far a chain has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The number of the last line; 0 before the first.
    pub seq: u64,
    /// What the next line names as `prev`.
    pub hash: LineHash,
}

/// Before the first line.
impl Default for Place {
    fn default() -> Self {
        Self {
            seq: 0,
            hash: LineHash::NOTHING,
        }
    }
}

/// What is wrong with a line. `Display` is for the auditor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// Its own hash is another.
    #[error("it does not fit its own hash: it was changed, or written with another key or none")]
    Hash,
    /// It is no line of a journal.
    #[error("it is no line of a journal: it was changed or cut")]
    NoLine,
    /// It does not name the line before it.
    #[error(
        "it does not follow the line before it: lines were changed, taken out, put in or moved"
    )]
    Prev,
    /// Its number is not the next.
    #[error("its number is {found} and not {wanted}: lines were taken out, put in or moved")]
    Seq {
        /// The number it should have.
        wanted: u64,
        /// The number it has.
        found: u64,
    },
}

/// A line that fits its own hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its number.
    pub seq: u64,
    /// The hash of the line before it.
    pub prev: LineHash,
    /// Its own, which the next line names.
    pub own: LineHash,
}

impl Chain {
    /// A chain that goes on from here.
    pub(super) fn at(at: Place, key: Option<ChainKey>) -> Self {
        Self { key, at }
    }

    pub(super) fn key(&self) -> Option<&ChainKey> {
        self.key.as_ref()
    }

    /// The next line, with its line end.
    ///
    /// # Errors
    /// When the entry is no JSON object with at least one member; nothing is
    /// added then.
    pub(super) fn add(&mut self, entry: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
        let seq = self.at.seq + 1;
        let mut line = format!("{{\"seq\":{seq},\"prev\":\"{}\",", self.at.hash).into_bytes();
        let members = serde_json::to_vec(entry)?;
        let members = members
            .strip_prefix(b"{")
            .and_then(|rest| rest.strip_suffix(b"}"))
            .filter(|members| !members.is_empty())
            .ok_or_else(|| serde::ser::Error::custom("an entry is an object with members"))?;
        line.extend_from_slice(members);
        let hash = own_hash(&line, self.key.as_ref());
        line.extend_from_slice(format!("{HASH}{hash}{END}").as_bytes());
        self.at = Place {
            seq,
            hash: LineHash::of(&line),
        };
        line.push(b'\n');
        Ok(line)
    }
}

impl Place {
    /// Takes the next line, without its line end.
    ///
    /// # Errors
    /// [`Broken`]; the place is what it was.
    pub fn follow(&mut self, line: &[u8], key: Option<&ChainKey>) -> Result<Link, Broken> {
        let link = Link::read(line, key)?;
        let wanted = self.seq + 1;
        if link.seq != wanted {
            return Err(Broken::Seq {
                wanted,
                found: link.seq,
            });
        }
        if link.prev != self.hash {
            return Err(Broken::Prev);
        }
        *self = link.place();
        Ok(link)
    }
}

impl Link {
    /// Reads a line, without its line end, and compares it with its own hash.
    ///
    /// # Errors
    /// [`Broken::NoLine`], [`Broken::Hash`].
    pub fn read(line: &[u8], key: Option<&ChainKey>) -> Result<Self, Broken> {
        let (body, hash) = apart(line).ok_or(Broken::NoLine)?;
        let (seq, prev) = head(body).ok_or(Broken::NoLine)?;
        // JSON's own bytes: whatever reads the line later must find what was hashed.
        if serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err() {
            return Err(Broken::NoLine);
        }
        if own_hash(body, key) != hash {
            return Err(Broken::Hash);
        }
        Ok(Self {
            seq,
            prev,
            own: LineHash::of(line),
        })
    }

    /// The end of a chain whose last line this is.
    pub fn place(&self) -> Place {
        Place {
            seq: self.seq,
            hash: self.own,
        }
    }
}

/// The body of a line and the hash behind it.
fn apart(line: &[u8]) -> Option<(&[u8], LineHash)> {
    let line = line.strip_suffix(END.as_bytes())?;
    let (rest, hash) = line.split_at_checked(line.len().checked_sub(64)?)?;
    Some((rest.strip_suffix(HASH.as_bytes())?, unhex(hash)?))
}

/// The number of a line and the hash of the one before.
fn head(body: &[u8]) -> Option<(u64, LineHash)> {
    let rest = body.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    let rest = rest.strip_prefix(b",\"prev\":\"")?;
    let (prev, rest) = rest.split_at_checked(64)?;
    rest.strip_prefix(b"\",")?;
    let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((seq, unhex(prev)?))
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

fn unhex(text: &[u8]) -> Option<LineHash> {
    let mut bytes = [0; 32];
    let mut pairs = text.chunks_exact(2);
    for (byte, pair) in bytes.iter_mut().zip(&mut pairs) {
        let [high, low] = *<&[u8; 2]>::try_from(pair).ok()?;
        *byte = (digit(high)? << 4) | digit(low)?;
    }
    (text.len() == 64).then_some(LineHash(bytes))
}

/// Lower case only: there is one way to write a hash.
fn digit(byte: u8) -> Option<u8> {
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

    use super::{Broken, Chain, ChainKey, Place};

    fn key() -> ChainKey {
        ChainKey::new(&[7; 32]).unwrap()
    }

    fn lines(count: usize, key: Option<ChainKey>) -> Vec<Vec<u8>> {
        let mut chain = Chain::at(Place::default(), key);
        (0..count)
            .map(|number| {
                let entry = json!({"kind": "call", "text": "a \"b\"\n,\"hash\":\"", "n": number});
                let mut line = chain.add(&entry).unwrap();
                line.pop();
                line
            })
            .collect()
    }

    /// The number, from 0, of the first line that does not hold.
    fn first_broken(lines: &[Vec<u8>], key: Option<&ChainKey>) -> Option<usize> {
        let mut place = Place::default();
        lines
            .iter()
            .position(|line| place.follow(line, key).is_err())
    }

    #[test]
    fn a_line_is_json_with_its_number_first_and_its_hash_last() {
        let line = lines(1, None).remove(0);
        let value: Value = serde_json::from_slice(&line).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["seq", "prev", "kind", "text", "n", "hash"]);
        assert_eq!(value["prev"], json!("0".repeat(64)));
    }

    #[test]
    fn what_is_no_object_is_not_added() {
        let mut chain = Chain::at(Place::default(), None);
        for entry in [json!(1), json!([]), json!({}), json!(null)] {
            assert!(chain.add(&entry).is_err(), "{entry}");
        }
        assert_eq!(chain.at, Place::default());
    }

    #[test]
    fn a_chain_holds_only_with_the_key_it_was_made_with() {
        let keyed = lines(3, Some(key()));
        let other = ChainKey::new(&[8; 32]).unwrap();
        assert_eq!(first_broken(&keyed, Some(&key())), None);
        assert_eq!(first_broken(&keyed, Some(&other)), Some(0));
        assert_eq!(first_broken(&keyed, None), Some(0));
        // A chain made anew without the key is no chain to who has it.
        assert_eq!(first_broken(&lines(3, None), Some(&key())), Some(0));
        assert!(ChainKey::new(&[7; 31]).is_none());
    }

    #[test]
    fn numbers_and_links_are_told_apart() {
        let mut place = Place::default();
        let lines = lines(3, None);
        place.follow(&lines[0], None).unwrap();
        let skipped = place.follow(&lines[2], None).unwrap_err();
        assert_eq!(
            skipped,
            Broken::Seq {
                wanted: 2,
                found: 3
            }
        );
        let mut other = Chain::at(Place::default(), None);
        other.add(&json!({"a": 1})).unwrap();
        let mut foreign = other.add(&json!({"a": 2})).unwrap();
        foreign.pop();
        assert_eq!(place.follow(&foreign, None), Err(Broken::Prev));
    }

    proptest! {
        #[test]
        fn whatever_is_done_to_a_line_is_found_and_the_first_one_is_named(
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
            prop_assert_eq!(first_broken(&whole, key), None);
            let which = which.index(count);

            let mut flipped = whole.clone();
            let byte = at.index(flipped[which].len());
            flipped[which][byte] ^= flip;
            prop_assert_eq!(first_broken(&flipped, key), Some(which));

            let mut cut = whole.clone();
            cut[which].truncate(byte);
            prop_assert_eq!(first_broken(&cut, key), Some(which));

            // Of the end nothing tells but whoever remembers how long it was.
            let mut removed = whole.clone();
            removed.remove(which);
            prop_assert_eq!(first_broken(&removed, key), (which + 1 < count).then_some(which));

            let mut twice = whole.clone();
            twice.insert(which, whole[other.index(count)].clone());
            let first = if other.index(count) == which { which + 1 } else { which };
            prop_assert_eq!(first_broken(&twice, key), Some(first));

            let other = other.index(count);
            if other != which {
                let mut swapped = whole;
                swapped.swap(which, other);
                prop_assert_eq!(first_broken(&swapped, key), Some(which.min(other)));
            }
        }
    }
}
