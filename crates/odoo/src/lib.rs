//! Odoo's vocabulary: names, domains, calls, schemas and errors. No I/O.
//!
//! Constructors check everything: a [`ModelName`] is safe in a path, a [`Domain`] is
//! well formed and bounded, a [`Call`] has the [`Operation`] of its method.

mod aggregation;
mod argument_name;
mod call;
mod cell;
mod context;
mod domain;
mod fault;
mod field;
mod field_kind;
mod field_name;
mod field_path;
mod grouping;
mod known_name;
mod load;
mod loaded;
mod measure;
mod method_name;
mod model_name;
mod operation;
mod order;
mod record_id;
mod request;
mod row_problems;
mod schema;
mod system_query;

pub use aggregation::{Aggregation, Comparison, GroupCondition, GroupKey, GroupOrder};
pub use argument_name::{ArgumentName, InvalidArgumentName};
pub use call::Call;
pub use cell::cell_value;
pub use context::Context;
pub use domain::{Condition, Domain, InvalidDomain, Operand, OperandKind, Operator, Term};
pub use fault::{AccessKind, OdooError, reveals_internals};
pub use field::{Field, SameCompany, SelectionOption};
pub use field_kind::{FieldClass, FieldKind};
pub use field_name::{FieldName, InvalidFieldName};
pub use field_path::{FieldPath, InvalidFieldPath};
pub use grouping::{Granularity, Grouping, InvalidGrouping};
pub use load::{
    CellMeaning, Column, InvalidLoad, Load, cell_at, parse_ids, record_starts, split_line_columns,
};
pub use loaded::LoadResult;
pub use measure::{Aggregate, InvalidMeasure, Measure, RequestedMeasure};
pub use method_name::{InvalidMethodName, MethodName};
pub use model_name::{InvalidModelName, ModelName};
pub use operation::Operation;
pub use order::{InvalidOrder, Order};
pub use record_id::{InvalidRecordId, RecordId};
pub use request::{Request, Search};
pub use row_problems::{RowProblems, format_row_ranges};
pub use schema::Schema;
pub use system_query::{CreatedAfter, CreatedRecordsQuery, SystemQuery, UserSearch};
