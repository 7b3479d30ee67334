//! Who is calling.
//!
//! It proves callers and gives them their roles. It does not decide what they
//! may do: that is [`crate::policy`].

mod caller;

pub use caller::{Caller, CallerKind};
