//! The public keys with which a provider's signatures are verified.

mod key_cache;
mod key_set;
#[cfg(test)]
mod tests;

pub(super) use self::{
    key_cache::{FetchedKeys, KeyCache, KeyLookupError},
    key_set::KeySet,
};
