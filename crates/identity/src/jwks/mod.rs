//! The public keys that verify a provider's signatures.

mod key_cache;
mod key_set;
#[cfg(test)]
mod tests;

pub(super) use self::{
    key_cache::{FetchedKeys, KeyCache},
    key_set::KeySet,
};
