//! Authentication: who is calling.
//!
//! A token of an identity provider is verified by introspection (RFC 7662), by
//! its signature (RFC 9068), or by both; an API key of the gateway by its hash.
//! [`Grants`] map the result to roles; what a role may do is not decided here.

mod api_key;
mod api_key_store;
mod bearer;
mod bulkhead;
mod caller;
mod circuit_breaker;
mod claims;
mod client_assertion;
mod client_auth;
mod credential;
mod discovery;
mod facade;
mod grant;
mod introspection_request;
mod introspector;
mod jwks;
mod jwt;
mod key_uses;
mod keys_file;
mod metadata;
mod network_turns;
mod now;
mod principal;
mod protected_resource;
mod provider;
mod provider_check;
mod provider_endpoints;
mod provider_error;
mod provider_http;
mod provider_keys;
mod provider_settings;
mod refreshing;
mod single_flight;
mod strict_json;
mod token_cache;
mod token_error;
mod token_lookup;
mod token_rejected;

pub use api_key::{ApiKey, ApiKeyId, InvalidApiKeyId, MalformedKey, SecretHash};
pub use api_key_store::{ApiKeyError, ApiKeyStore, KeysFileError, StoredKey};
pub use bearer::{Bearer, BearerError, OwnedBearer};
pub use bulkhead::AddressStanding;
pub use caller::{Caller, CallerKind};
pub use claims::ClaimRules;
pub use client_assertion::{ClientKey, InvalidClientKey};
pub use client_auth::{ClientAuth, Secret};
pub use credential::{AmbiguousCredential, CredentialSource, choose_credential};
pub use facade::{
    AUTHORIZATION_SERVER_PATH, Facade, FacadeUnavailable, MAX_REGISTRATION_BYTES, REGISTER_PATH,
    RegistrationError,
};
pub use grant::{Grant, Granted, Grants};
pub use jwt::is_supported_algorithm;
pub use key_uses::KeyUses;
pub use keys_file::update_keys_file;
pub use metadata::Metadata;
pub use now::Now;
pub use principal::Principal;
pub use protected_resource::{Challenge, PROTECTED_RESOURCE_PATH, ProtectedResource};
pub use provider::Provider;
pub use provider_check::{CheckResult, CheckStatus};
pub use provider_error::{ProviderError, ProviderUnavailable};
pub use provider_http::{EgressPolicy, http_failure};
pub use provider_settings::{InvalidProvider, ProviderSettings, ProviderTrust, Validation};
pub use token_cache::CacheTtls;
pub use token_error::TokenError;
pub use token_lookup::{TokenCacheLookup, TokenCacheMiss, VerifiedToken};
pub use token_rejected::TokenRejected;
