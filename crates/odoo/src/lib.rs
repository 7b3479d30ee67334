//! What can be said to Odoo and what it may answer. No I/O.
//!
//! Everything here is checked when it is made: a [`ModelName`] is safe in a
//! path, a [`Domain`] is well formed and bounded, a [`Call`] knows its
//! [`Effect`].

mod argument_name;
mod call;
mod cell;
mod context;
mod domain;
mod effect;
mod fault;
mod field_name;
mod field_path;
mod inquiry;
mod load;
mod loaded;
mod method_name;
mod model_name;
mod order;
mod record_id;
mod request;
mod schema;

pub use argument_name::{ArgumentName, InvalidArgumentName};
pub use call::Call;
pub use cell::value_of;
pub use context::Context;
pub use domain::{Condition, Domain, InvalidDomain, Operand, Operator, Term};
pub use effect::Effect;
pub use fault::{AccessKind, Fault, is_internal};
pub use field_name::{FieldName, InvalidFieldName};
pub use field_path::{FieldPath, InvalidFieldPath};
pub use inquiry::{After, Inquiry, Made};
pub use load::{Column, InvalidLoad, Load, Says, beginnings, cell_of, ids_in, split};
pub use loaded::{Loaded, RowProblems};
pub use method_name::{InvalidMethodName, MethodName};
pub use model_name::{InvalidModelName, ModelName};
pub use order::{InvalidOrder, Order};
pub use record_id::{InvalidRecordId, RecordId};
pub use request::{Request, Search};
pub use schema::{Choice, Field, FieldKind, SameCompany, Schema};
