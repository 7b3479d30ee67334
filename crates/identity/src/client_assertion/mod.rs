//! Client authentication by a signed assertion (`private_key_jwt`, RFC 7523).

mod client_key;
mod private_key;
#[cfg(test)]
mod tests;

pub use client_key::ClientKey;
pub use private_key::InvalidClientKey;
