//! What all crates of Gatepost share: names of instances, providers, roles,
//! callers and traces; digests; text for one line.
//!
//! Names are checked once, when they are parsed. The names of Odoo's models,
//! fields and records are in `gatepost-odoo`. This crate does no I/O.

mod address_scope;
mod checked;
mod config_name;
mod diagnosis;
pub mod digest;
pub mod error_chain;
mod hidden_chars;
mod instance_name;
mod opaque;
pub mod path;
mod subject;
pub mod sync;
pub mod text;
mod trace_context;
mod trace_id;
mod words;

pub use address_scope::AddressScope;
pub use config_name::{
    CredentialName, InvalidCredentialName, InvalidProviderName, InvalidRoleName, ProviderName,
    RoleName,
};
pub use diagnosis::Diagnosis;
pub use instance_name::{InstanceName, InvalidInstanceName};
pub use subject::Subject;
pub use trace_context::{SpanId, TraceContext};
pub use trace_id::TraceId;
