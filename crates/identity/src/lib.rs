//! Who is calling.
//!
//! A token of an identity provider is proved by asking the provider
//! (RFC 7662), by its signature (RFC 9068), or both; a key of our own by its
//! hash. What a proof opens is for `grant` to say and for `policy` to decide.

mod api_key;
mod bearer;
mod breaker;
mod caller;
mod claims;
mod client_assertion;
mod credential;
mod discovery;
mod examination;
mod facade;
mod grant;
mod introspection;
mod jwks;
mod jwt;
mod keyring;
mod keys_file;
mod lanes;
mod members;
mod memory;
mod now;
mod outbound;
mod principal;
mod protected_resource;
mod provider;
mod unavailable;

pub use api_key::{ApiKey, KeyId, MalformedKey, SecretHash};
pub use bearer::{Bearer, KeptBearer, NoBearer};
pub use caller::{Caller, CallerKind};
pub use claims::NotAccepted;
pub use client_assertion::{ClientKey, UnusableKey};
pub use credential::{Ambiguous, Rank, choose_credential};
pub use discovery::{Metadata, Undiscovered};
pub use examination::{Finding, Verdict};
pub use facade::{
    AUTHORIZATION_SERVER, Facade, MAX_REGISTRATION_BYTES, NoFacade, REGISTER, RegistrationRefused,
};
pub use grant::{Grant, Granted, Grants};
pub use introspection::{ClientAuth, Secret};
pub use jwt::is_algorithm;
pub use keyring::{BrokenKeysFile, Keyring, StoredKey, Unproved};
pub use keys_file::change_keys;
pub use now::Now;
pub use outbound::of_exchange;
pub use principal::Principal;
pub use protected_resource::{Objection, ProtectedResource, WELL_KNOWN};
pub use provider::{
    Found, InvalidProvider, Provider, ProviderSettings, Recollection, Unknown, Unproven, Validation,
};
pub use unavailable::{Trouble, Unavailable};
