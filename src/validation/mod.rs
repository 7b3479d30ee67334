//! Validates what a caller wants to read or write against the model's fields, and
//! brings it into Odoo's form.
//!
//! It does not decide what is allowed; `gatepost_policy` does.

mod aggregation;
pub(crate) mod companies;
mod date_operand;
mod import_columns;
mod operand;
mod query;
pub(crate) mod record_values;
pub(crate) mod resolve_links;
pub(crate) mod unapplied_values;
pub mod values;

pub use aggregation::{AggregationPlan, AggregationRequest, PlannedGrouping, PlannedMeasure};
pub use import_columns::validate_import;
pub use query::{fields_to_show, validate_fields, validate_order};
pub use record_values::{ValidatedRecords, validate_records};
pub use unapplied_values::unapplied_values;
pub(crate) use unapplied_values::unproven_values;
