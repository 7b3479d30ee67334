//! The public keys with which a provider's signatures are verified.

mod key_set;

pub(super) use self::key_set::KeySet;
