//! Identifiers that cross borders: instances, providers, roles, people,
//! requests.
//!
//! Each is checked once, where it enters, and never again. What can be said
//! to Odoo (models, fields, records) has its own names in `gatepost-odoo`.

mod address_scope;
mod checked;
mod credential_name;
pub mod digest;
pub mod error_chain;
mod instance_name;
mod kinds;
mod provider_name;
mod role_name;
mod subject;
pub mod text;
mod trace_context;
mod trace_id;

pub use address_scope::AddressScope;
pub use credential_name::{CredentialName, InvalidCredentialName};
pub use instance_name::{InstanceName, InvalidInstanceName};
pub use provider_name::{InvalidProviderName, ProviderName};
pub use role_name::{InvalidRoleName, RoleName};
pub use subject::Subject;
pub use trace_context::{SpanId, TraceContext};
pub use trace_id::TraceId;
