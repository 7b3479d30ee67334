//! Cursors: where the next page of a search begins.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// A page of a search, by its offset.
///
/// Its cursor contains the offset and a digest of the search, and grants
/// nothing: with a forged cursor the search starts elsewhere, and the policy
/// checks it like any other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SearchPage {
    /// The number of records before it.
    pub offset: u64,
}

/// The cursor belongs to another search. Nothing was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "this cursor belongs to another search. Repeat the other arguments unchanged, or start without a cursor"
)]
pub struct InvalidCursor;

/// Bytes of the offset, which the digest follows.
const OFFSET_BYTES: usize = 8;
const DIGEST_BYTES: usize = 8;
/// The maximum offset: beyond it a search needs a narrower domain.
const MAX_OFFSET: u64 = 10_000_000;

impl SearchPage {
    /// The first page.
    pub fn start() -> Self {
        Self { offset: 0 }
    }

    /// Parses a cursor of this search.
    ///
    /// # Errors
    /// [`InvalidCursor`].
    pub fn parse(cursor: &str, search: &[u8]) -> Result<Self, InvalidCursor> {
        let bytes = (cursor.len() <= 64)
            .then(|| URL_SAFE_NO_PAD.decode(cursor).ok())
            .flatten()
            .ok_or(InvalidCursor)?;
        let (offset, digest) = bytes.split_at_checked(OFFSET_BYTES).ok_or(InvalidCursor)?;
        let offset = u64::from_be_bytes(offset.try_into().map_err(|_length| InvalidCursor)?);
        if digest == digest_of(search).as_slice() && offset <= MAX_OFFSET {
            Ok(Self { offset })
        } else {
            Err(InvalidCursor)
        }
    }

    /// Returns the cursor of the next page if `shown` records of this one were shown.
    pub fn next_cursor(&self, shown: usize, search: &[u8]) -> String {
        let offset = self
            .offset
            .saturating_add(u64::try_from(shown).unwrap_or(u64::MAX));
        let mut bytes = offset.to_be_bytes().to_vec();
        bytes.extend(digest_of(search));
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn digest_of(search: &[u8]) -> Vec<u8> {
    Sha256::digest(search)
        .into_iter()
        .take(DIGEST_BYTES)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::SearchPage;

    proptest! {
        #[test]
        fn cursor_is_valid_only_for_its_own_search(offset in 0_u64..1_000_000, shown in 0_usize..200) {
            let cursor = SearchPage { offset }.next_cursor(shown, b"a");
            prop_assert_eq!(SearchPage::parse(&cursor, b"a").unwrap().offset, offset + u64::try_from(shown).unwrap());
            prop_assert!(SearchPage::parse(&cursor, b"b").is_err());
        }

        #[test]
        fn arbitrary_text_is_not_a_cursor(text in any::<String>()) {
            prop_assert!(SearchPage::parse(&text, b"a").is_err());
        }
    }
}
