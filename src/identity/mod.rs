//! Who is calling.
//!
//! It proves callers and gives them their roles. It does not decide what they
//! may do: that is [`crate::policy`].

mod api_key;
mod bearer;
mod caller;
mod credential;
mod keyring;
mod keys_file;

pub use api_key::{ApiKey, KeyId, MalformedKey, SecretHash};
pub use bearer::{Bearer, NoBearer};
pub use caller::{Caller, CallerKind};
pub use credential::{Ambiguous, Rank, choose_credential};
pub use keyring::{BrokenKeysFile, Keyring, StoredKey, Unproved};
pub use keys_file::change_keys;
